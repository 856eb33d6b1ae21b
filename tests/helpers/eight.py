"""A manifest of eight pictures that faults befall, and what must hold of its folder at any moment and after a resume."""

import hashlib
import shutil
import sqlite3
from contextlib import closing

from latentpress.files import OWN_FOLDER, TEMP_PREFIX

# Two axes, so that there are folders and a sheet; two pictures have a twin, two a seed that is drawn. A picture is called
# WORD/SEED; its prompt is its word, but for a twin's.
MANIFEST = """\
version: 1
name: eight
model: demo
defaults: {steps: 2, size: 16x16}
matrix:
  seed: [1, 2, -1]
  word: [{label: kite, prompt: kite}, {label: owl, prompt: owl}, {label: twin, prompt: owl}]
  exclude: [{word: twin, seed: -1}]
output: "{word}/{seed}.png"
sheet: {rows: seed, columns: word}
"""
PICTURES = 8
# Another, of a picture that is done and one that fails.
TWO = """\
version: 1
name: two
model: demo
defaults: {steps: 2, size: 16x16}
matrix: {word: [kite, nan], prompt: ["{word}"]}
output: "{word}.png"
"""
# What must be the same after any fault; a picture's file is compared with it by its bytes.
_COLUMNS = "output, job_hash, pixel_sha256, file_sha256, status"


def tree(folder):
    """Name -> sha256 of every picture."""
    found = (path for path in folder.rglob("*.png") if OWN_FOLDER not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def leftovers(folder):
    """Every file that a killed writer left."""
    return list(folder.rglob(TEMP_PREFIX + "*"))


class Eight:
    """The manifest in `scratch`, rendered by `runner` into folders there; `whole` is the uninterrupted run."""

    def __init__(self, runner, scratch):
        self.runner, self.scratch = runner, scratch
        self.manifest = scratch / "eight.yaml"
        self.manifest.write_text(MANIFEST)
        whole = scratch / "whole"
        self.whole = self.render(whole, fault=runner.counting)
        assert self.whole.code == 0, self.whole.err
        self.tree, self.ledger = tree(whole), self.rows(whole)
        assert len(self.tree) == PICTURES + 1, "and the sheet"
        assert len(self.ledger) == PICTURES
        self._folders = 0

    @property
    def sites(self):
        """How many calls of an uninterrupted run are counted."""
        return len(self.whole.sites)

    def folder(self):
        """A new folder's path; the one before is removed."""
        shutil.rmtree(self.scratch / f"out{self._folders}", ignore_errors=True)
        self._folders += 1
        return self.scratch / f"out{self._folders}"

    def render(self, folder, **options):
        """The whole of one run of `render`."""
        return self.runner.run(folder, "render", self.manifest, "-o", folder, **options)

    def rows(self, folder):
        """The ledger's rows, read from a copy: our reading would roll back what a killed run left."""
        copy = self.scratch / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        path = folder / OWN_FOLDER / "ledger.sqlite"
        if not path.exists():
            return []
        shutil.copytree(path.parent, copy)
        with closing(sqlite3.connect(copy / path.name)) as connection:
            if not connection.execute("PRAGMA user_version").fetchone()[0]:
                return []
            return sorted(connection.execute(f"SELECT {_COLUMNS} FROM images"))

    def check_nothing_is_torn(self, folder, what):
        """What has a final name is whole, and what the ledger calls done is there; returns the pictures that it does."""
        found, rows = tree(folder), self.rows(folder)
        assert found.items() <= self.tree.items(), what
        assert set(rows) <= set(self.ledger), what
        assert {row[0]: row[3] for row in rows}.items() <= found.items(), what
        return {row[0].removesuffix(".png").replace("twin/", "owl/") for row in rows}

    def check_resume(self, folder, done, what):
        """A run without faults ends with the uninterrupted run's tree and ledger, and makes none of the pictures `done`."""
        again = self.render(folder)
        assert again.code == 0, (what, again.err)
        self.check_whole(folder, what)
        assert not done & set(again.rendered), f"{what}: rendered twice"

    def check_whole(self, folder, what):
        """Tree and ledger are an uninterrupted run's, and nothing else lies there."""
        assert tree(folder) == self.tree, what
        assert self.rows(folder) == self.ledger, what
        assert not leftovers(folder), what
