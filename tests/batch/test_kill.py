"""kill -9 at 20 places of a 40-image render, resumed after each: the tree and the ledger of an uninterrupted run."""

import hashlib
import shutil
import signal
import sqlite3
import subprocess
import sys

import killed_at
from killed_at import SITES
from latentpress.files import TEMP_PREFIX

# One run after another into one folder: where each dies, and at which passage. A run finishes at most a few pictures more
# than its count, so that the sites of the pictures are reached however fast the machine is.
KILLS = (
    ("folder locked", 1),
    ("ledger not made", 1),
    ("ledger made", 1),
    ("plan not committed", 1),
    ("plan committed", 1),
    ("engine called", 7),
    ("picture rendered", 2),
    ("picture handed over", 2),
    ("folder made", 1),
    ("file opened", 2),
    ("file half written", 3),
    ("leftover removed", 1),
    ("file synced", 2),
    ("file not renamed", 3),
    ("file renamed", 2),
    ("folder synced", 4),
    ("row not committed", 2),
    ("row committed", 3),
    ("sheet not renamed", 1),
    ("sheet renamed", 1),
)
# Two of a seed's pictures are one job under two names: rendered once, written twice. One picture of all has a loss, for
# what a loss needs takes each run seconds to load.
MANIFEST = """\
version: 1
name: forty
model: {bundle}
defaults: {{sampler: euler_a, guidance_scale: 5, size: 64x64}}
matrix:
  seed: 1..13
  variant:
    - {{label: mouse, prompt: a mouse in the style of <line-art>, steps: 2}}
    - {{label: house, prompt: a red house, steps: 3}}
    - {{label: twin, prompt: a red house, steps: 3}}
    - {{label: red, prompt: a red house, steps: 4, loss: {{name: channel, scale: 50, every: 2}}}}
  exclude: [{{variant: red, seed: 2..13}}]
output: "{{seed}}/{{variant}}.png"
sheet: {{rows: seed, columns: variant}}
"""


def run(manifest, out, *place):
    """Render, killed at `place`, a site and a count, if one is given; the finished process."""
    program = [killed_at.__file__, *map(str, place)] if place else ["-m", "latentpress"]
    command = [sys.executable, *program, "render", str(manifest), "-o", str(out), "--batch-rows", "8"]
    return subprocess.run(command, capture_output=True, text=True)


def tree(out):
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in out.rglob("*.png")}


def ledger(folder, columns="output, job_hash, pixel_sha256, file_sha256, status"):
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        return sorted(connection.execute(f"SELECT {columns} FROM images"))


def recorded(out, scratch):
    """output -> sha256 of its file, as the ledger has it; read from a copy, or our reading would repair the ledger."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(out / ".latentpress", scratch)
    path = scratch / "ledger.sqlite"
    return {row[0]: row[3] for row in ledger(scratch)} if path.exists() and path.stat().st_size else {}


def test_twenty_kills_lose_nothing(assets, tmp_path):
    assert len(KILLS) == 20
    assert {site for site, _ in KILLS} == set(SITES)
    manifest = tmp_path / "forty.yaml"
    manifest.write_text(MANIFEST.format(bundle=assets / "bundle"))
    whole, out = tmp_path / "whole", tmp_path / "killed"
    assert run(manifest, whole).returncode == 0
    expected = tree(whole)
    assert len(expected) == 41, "and the sheet"

    for site, count in KILLS:
        process = run(manifest, out, site, count)
        assert process.returncode == -signal.SIGKILL, f"{site}, {count} was not reached: {process.stderr}"
        # What carries a final name is whole at every moment, and so is what the ledger calls done.
        assert tree(out).items() <= expected.items(), site
        assert recorded(out, tmp_path / "copy").items() <= tree(out).items(), site

    last = run(manifest, out)
    assert last.returncode == 0, last.stderr
    assert tree(out) == expected
    assert ledger(out / ".latentpress") == ledger(whole / ".latentpress")
    assert ledger(out / ".latentpress", "attempts") == [(1,)] * 40, "nothing was rendered twice"
    assert not list(out.rglob(TEMP_PREFIX + "*"))
