"""What the ledger above a picture knows: where its inputs lay, and on what machine it was made. Reads, and nothing else."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from latentpress.batch.codes import kept_code
from latentpress.batch.ledger.beside import beside
from latentpress.batch.ledger.ledger import ledger_path
from latentpress.batch.plan.database import Database
from latentpress.errors import LatentpressError
from latentpress.rerender.given import given_in


@dataclass(frozen=True)
class Made:
    """On what a picture was made, as the ledger says: the device, and the versions of the packages; "" where unknown."""

    device: str = ""
    versions: str = ""


class Ledgers:
    """The ledgers of the folders that pictures lie in, each opened once."""

    def __init__(self) -> None:
        self._opened: dict[Path, Database | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        for database in self._opened.values():
            if database is not None:
                database.close()

    def above(self, path: Path) -> "KnownHere":
        """What the ledger of the output folder that the picture at `path` lies in knows: nothing where there is none.

        So it is with one that cannot be read: a picture says itself what it is, and options can name what it needs.
        """
        path = path.resolve()
        folder = next((folder for folder in path.parents if _has_ledger(folder)), None)
        if folder is None:
            return KnownHere(None, path.parent, "")
        if folder not in self._opened:
            self._opened[folder] = None
            with contextlib.suppress(LatentpressError):
                self._opened[folder] = beside(ledger_path(folder))
        return KnownHere(self._opened[folder], folder, path.relative_to(folder).as_posix())


class KnownHere:
    """What the ledger of `folder` knows of its picture `output`, and of what it was made from."""

    def __init__(self, database: Database | None, folder: Path, output: str) -> None:
        self._database, self._folder, self._output = database, folder, output

    def bundle(self, content: str) -> tuple[list[Path], Mapping[str, str]]:
        """Where a bundle with this content may lie, and its parts; ([], {}) where it is not known."""
        for path, parts in self._ask("SELECT path, parts FROM bundles WHERE content=?", content):
            return self._places(path) if path else [], json.loads(parts)
        return [], {}

    def manifests(self, job_hash: str) -> list[Path]:
        """The manifests that are there of the picture's plan, or where the ledger knows no such picture, of any plan."""
        own = (
            "SELECT plans.manifest FROM images JOIN plans USING (plan_hash) "
            "WHERE images.output=? OR images.job_hash=? ORDER BY images.output=? DESC"
        )
        named = self._ask(own, self._output, job_hash, self._output) or self._ask("SELECT manifest FROM plans")
        names = dict.fromkeys(name for (name,) in named if name)
        found = (Path(os.path.relpath((self._folder / name).resolve())) for name in names)
        return [path for path in found if path.is_file()]

    def pictures(self, sha256: str) -> Iterator[Path]:
        """Where a given picture with this content lay, as the jobs of the last plan name it."""
        if not self._ask("SELECT 1 FROM pragma_table_info('drafts', 'ledger')"):
            return
        for (text,) in self._ask("SELECT request FROM drafts WHERE instr(request, ?) LIMIT 100", sha256):
            request: dict[str, Any] = json.loads(text)
            for image in given_in(request).values():
                if image["sha256"] == sha256:
                    yield from self._places(image["path"])

    def code_files(self, sha256: str) -> Iterator[Path]:
        """Where the file of a loss with this code lay, as the jobs of the last plan name it."""
        if not self._ask("SELECT 1 FROM pragma_table_info('shapes', 'ledger')"):
            return
        for (text,) in self._ask("SELECT request FROM shapes WHERE instr(request, ?) LIMIT 1", sha256):
            for loss in json.loads(text)["losses"]:
                if (code := loss.get("code")) and code["sha256"] == sha256:
                    yield from self._places(code["path"])

    def code(self, sha256: str) -> Mapping[str, Any] | None:
        """The code of a loss as the ledger keeps it; None where it keeps none with this sha256."""
        return self._database and kept_code(self._database, sha256)

    def made(self, job_hash: str) -> Made:
        """On what the picture was made."""
        query = "SELECT device, versions FROM images WHERE output=? AND job_hash=? AND status='done'"
        for device, versions in self._ask(query, self._output, job_hash):
            return Made(device or "", versions or "")
        return Made()

    def _ask(self, query: str, *values: object) -> list[Any]:
        return self._database.answers(query, values) if self._database else []

    def _places(self, path: str) -> list[Path]:
        """What is at `path`, which may start at the directory that the render was started in: most often one above OUT."""
        starts = [Path(), *self._folder.parents]
        return [found for start in starts if (found := start / path).exists()]


def _has_ledger(folder: Path) -> bool:
    try:
        return ledger_path(folder).is_file()
    except LatentpressError:  # it is elsewhere, and that is not there
        return False
