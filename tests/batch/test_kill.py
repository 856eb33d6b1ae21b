"""kill -9 of the real command line while its engine computes and hands pictures over, resumed after each.

Kills at the calls of the system that follow: test_killed_anywhere.py.
"""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import killed_at
from killed_at import SITES
from latentpress.files import TEMP_PREFIX

# One run after another into one folder: where each dies, and at which passage. The engine's calls are counted in the
# process of the command, where it runs only if it is asked to.
KILLS = (("engine called", 7), ("picture rendered", 2), ("picture handed over", 3), ("engine called", 12))
# Two of a seed's pictures are one job under two names: rendered once, written twice. One picture of all has a loss.
MANIFEST = """\
version: 1
name: sixteen
model: {bundle}
defaults: {{sampler: euler_a, guidance_scale: 5, size: 64x64}}
matrix:
  seed: 1..5
  variant:
    - {{label: mouse, prompt: a mouse in the style of <line-art>, steps: 2}}
    - {{label: house, prompt: a red house, steps: 3}}
    - {{label: twin, prompt: a red house, steps: 3}}
    - {{label: red, prompt: a red house, steps: 4, loss: {{name: channel, scale: 50, every: 2}}}}
  exclude: [{{variant: red, seed: 2..5}}]
output: "{{seed}}/{{variant}}.png"
sheet: {{rows: seed, columns: variant}}
"""


def run(manifest, out, *place):
    """Render, killed at `place`, a site and a count, if one is given; the finished process."""
    program = [killed_at.__file__, *map(str, place)] if place else ["-m", "latentpress"]
    command = [sys.executable, *program, "render", str(manifest), "-o", str(out), "--batch-rows", "4"]
    own = "1" if place and place[0] == "engine called" else "0"
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"LATENTPRESS_IN_PROCESS": own})


def tree(out):
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in out.rglob("*.png")}


def ledger(out, columns="output, job_hash, pixel_sha256, file_sha256, status"):
    with closing(sqlite3.connect(out / ".latentpress/ledger.sqlite")) as connection:
        return sorted(connection.execute(f"SELECT {columns} FROM images"))


def test_kills_while_the_engine_computes_lose_nothing(assets, tmp_path):
    assert {site for site, _ in KILLS} == set(SITES)
    manifest = tmp_path / "sixteen.yaml"
    manifest.write_text(MANIFEST.format(bundle=assets / "bundle"))
    whole, out = tmp_path / "whole", tmp_path / "killed"
    assert run(manifest, whole).returncode == 0
    expected = tree(whole)
    assert len(expected) == 17, "and the sheet"
    for site, count in KILLS:
        process = run(manifest, out, site, count)
        assert process.returncode == -signal.SIGKILL, f"{site}, {count} was not reached: {process.stderr}"
        # What carries a final name is whole at every moment.
        assert tree(out).items() <= expected.items(), site
    last = run(manifest, out)
    assert last.returncode == 0, last.stderr
    assert tree(out) == expected
    assert ledger(out) == ledger(whole)
    assert ledger(out, "attempts") == [(1,)] * 16, "nothing was rendered twice"
    assert not list(out.rglob(TEMP_PREFIX + "*"))
