"""kill -9 at 20 random moments of a 40-image render, then resume: the tree and the ledger of an uninterrupted run."""

import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

from latentpress.files import TEMP_PREFIX

KILLS = 20
MANIFEST = """\
version: 1
name: forty
model: {bundle}
defaults: {{sampler: euler_a, guidance_scale: 5, size: 64x64}}
matrix:
  seed: 1..10
  variant:
    - {{prompt: a mouse in the style of <line-art>, steps: 3}}
    - {{prompt: a mouse in the style of <moeb-style>, steps: 6}}
    - {{prompt: a red house, steps: 9}}
    - {{prompt: a red house, steps: 12, loss: {{name: channel, scale: 50, every: 4}}}}
output: "{{variant}}/{{seed}}.png"
"""


def command(manifest, out):
    return [sys.executable, "-m", "latentpress", "render", str(manifest), "-o", str(out)]


def pictures(out):
    return {str(path.relative_to(out)): path for path in out.rglob("*.png")} if out.exists() else {}


def tree(out):
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in pictures(out).items()}


def ledger(out):
    with sqlite3.connect(out / ".latentpress" / "ledger.sqlite") as connection:
        columns = "output, job_hash, pixel_sha256, file_sha256, status"
        return sorted(connection.execute(f"SELECT {columns} FROM images"))


def kill_after(process, out, fresh):
    """SIGKILL the render once `fresh` more pictures lie in `out`, at a random moment of the next one."""
    had = len(pictures(out))
    while process.poll() is None and len(pictures(out)) < had + fresh:
        time.sleep(0.005)
    time.sleep(random.uniform(0, 0.2))
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_twenty_kills_lose_nothing(assets, tmp_path):
    manifest = tmp_path / "forty.yaml"
    manifest.write_text(MANIFEST.format(bundle=assets / "bundle"))
    subprocess.run(command(manifest, tmp_path / "whole"), check=True, capture_output=True)
    expected = tree(tmp_path / "whole")
    assert len(expected) == 40

    out = tmp_path / "killed"
    random.seed(20)
    killed = 0
    for _ in range(KILLS):
        process = subprocess.Popen(command(manifest, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        kill_after(process, out, fresh=random.choice([0, 1, 1, 2]))
        killed += process.returncode == -signal.SIGKILL
        # What carries a final name is whole at every moment.
        assert tree(out).items() <= expected.items()
    assert killed >= 15, "the render ended before it could be killed often enough"

    last = subprocess.run(command(manifest, out), check=True, capture_output=True, text=True)
    assert tree(out) == expected, last.stderr
    assert ledger(out) == ledger(tmp_path / "whole")
    assert not list(out.rglob(TEMP_PREFIX + "*"))
