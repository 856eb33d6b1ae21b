"""The engine in a process of its own: a picture that fails or takes it along is found, named, and no other lost."""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import poisoned_worker
from latentpress.batch.executors import supervised
from latentpress.batch.executors.local import Settings
from latentpress.batch.executors.supervised import SupervisedExecutor
from latentpress.batch.folder import OutputFolder
from latentpress.errors import EnvironmentFailure
from latentpress.models import named_bundle
from latentpress.runtime.request import RenderRequest

POISONS = {
    "large": ("memory", "16x16 needs more memory than there is"),
    "torch": ("memory", "16x16 needs more memory than there is (the gradient of the loss channel)"),
    "nan": ("not_finite", "the latents became NaN"),
    "raising": ("exception", "the UNet raised ValueError: an unknown operator"),
    "stopped": ("hang", "did nothing for"),
    "killed": ("killed", "was killed (SIGKILL, "),
}
MANIFEST = """\
version: 1
name: night
model: demo
defaults: {size: 16x16, steps: 2, guidance_scale: 1, prompt: a mouse}
jobs:
  - {id: before, seed: 1..147}
  - {id: large, prompt: large}
  - {id: torch, loss: {name: channel, every: 1}}
  - {id: nan, prompt: nan}
  - {id: raising, prompt: raising}
  - {id: stopped, prompt: stopped}
  - {id: killed, prompt: killed}
  - {id: after, seed: 201..347}
output: "{id}-{seed}.png"
"""
COMMAND = (sys.executable, "-P", poisoned_worker.__file__)
SETTINGS = Settings(batch_rows=2, isolated=True, call_deadline=1.5)


def failed(folder):
    """The name of each failed job -> why."""
    with closing(sqlite3.connect(folder.path / ".latentpress/ledger.sqlite")) as connection:
        rows = connection.execute("SELECT output, cause, error FROM images WHERE status='failed'").fetchall()
    return {output.partition("-")[0]: (cause, error) for output, cause, error in rows}


def test_of_300_jobs_six_fail_each_in_its_own_way_and_294_are_done(demo_cache, tmp_path, monkeypatch):
    monkeypatch.setattr(supervised, "WORKER", COMMAND)
    (tmp_path / "night.yaml").write_text(MANIFEST)
    night = OutputFolder(tmp_path / "night.yaml", tmp_path / "out", cache=demo_cache)
    said = []
    outcome = night.render(SETTINGS, say=said.append)
    assert (outcome.summary.done, outcome.summary.failed) == (294, 6), said
    for how in ("was killed", "did nothing for"):
        assert any(line.startswith(f"warning: the engine's process {how}") for line in said), said
    assert failed(night).keys() == POISONS.keys()
    for name, (cause, words) in POISONS.items():
        assert failed(night)[name][0] == cause
        assert words in failed(night)[name][1]
    assert len(list(night.path.glob("*.png"))) == 294


def request(seed, prompt="a mouse", **more):
    return RenderRequest(prompt, seed, 16, 16, "euler", 2, 1.0, **more)


@pytest.fixture
def executor(demo_cache):
    """executor(settings, command) renders on the demo bundle; with the toy engines of the helper, or `command`."""
    made = []

    def make(settings=SETTINGS, command=COMMAND, say=print):
        bundle = named_bundle("demo", demo_cache)
        made.append(SupervisedExecutor({bundle.hash: bundle}, settings, demo_cache, say, command))
        return made[-1], bundle.hash

    yield make
    for one in made:
        one.close()


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_signals_and_a_death_that_no_picture_is_to_blame_for_lose_nothing(executor):
    ours, bundle = executor()
    work = {seed: request(seed) for seed in range(40)}
    assert ours.open(bundle, work.values()) == "untested"
    first = ours._child.pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(first, number)
    found = {}
    for rendered in ours.render(work.items()):
        found[rendered.key] = rendered.image
        if len(found) == 5:
            assert ours._child.pid == first, "signals are for this process"
            os.kill(first, signal.SIGKILL)
    assert found.keys() == work.keys()
    assert all(image is not None for image in found.values())
    assert ours._child.pid != first
    assert not alive(first)
    again = {one.key: one.image for one in ours.render(work.items())}
    assert all((again[key] == image).all() for key, image in found.items())


def test_a_render_that_is_left_ends_the_process_and_one_that_is_stopped_finishes_what_it_began(executor):
    ours, bundle = executor()
    work = {seed: request(seed) for seed in range(400)}
    ours.open(bundle, work.values())
    finished = []
    for rendered in ours.render(work.items()):
        finished.append(rendered)
        if len(finished) == 3:
            ours.stop()
    assert 3 <= len(finished) < 400
    assert all(one.image is not None for one in finished)
    pictures = ours.render(work.items())
    next(pictures)
    pid = ours._child.pid
    pictures.close()
    assert not alive(pid)


def test_what_cannot_be_opened_or_started_is_told(executor, tmp_path):
    ours, bundle = executor(command=(sys.executable, "-c", "raise SystemExit('no such engine')"))
    with pytest.raises(EnvironmentFailure, match="the engine's process ended with code 1: no such engine, before"):
        ours.open(bundle, [request(1)])
    ours, bundle = executor(Settings("tensorrt", isolated=True), command=None)
    with pytest.raises(EnvironmentFailure, match="engine tensorrt: "):
        ours.open(bundle, [request(1)])


PARENT = """\
import sys
from pathlib import Path
from latentpress.batch.executors.local import Settings
from latentpress.batch.executors.supervised import SupervisedExecutor
executor = SupervisedExecutor({}, Settings(isolated=True), Path("."), print)
executor.start()
print(executor._child.pid, flush=True)
sys.stdin.read()
"""


def test_the_process_does_not_outlive_the_one_that_watches_it():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.communicate()
    end = time.monotonic() + 20
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not alive(pid)


def test_pixels_are_those_of_this_process_and_its_engine_is_not_imported_here(demo_cache, tmp_path):
    """The real command line and engine: by the files, which hold the pixels' sum and how they were made."""
    (tmp_path / "m.yaml").write_text(
        "version: 1\nmodel: demo\ndefaults: {prompt: an owl, steps: 2, size: 32x32}\nmatrix: {seed: 1..4}\n"
    )
    script = "import sys; from latentpress.cli import run_cli; code = run_cli(sys.argv[1:]);"
    script += " assert ('onnxruntime' in sys.modules) == (sys.argv[-1] == '1'); sys.exit(code)"
    for own in ("2", "1"):
        environment = os.environ | {
            "LATENTPRESS_IN_PROCESS": str(int(own == "1")),
            "LATENTPRESS_CACHE": str(demo_cache),
        }
        command = [sys.executable, "-c", script, "render", str(tmp_path / "m.yaml"), "-o", str(tmp_path / f"out{own}")]
        subprocess.run([*command, "--threads", "1", "--batch-rows", own], env=environment, check=True)
    sums = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / f"out{own}").glob("*.png")}
        for own in "21"
    ]
    assert len(sums[0]) == 4
    assert sums[0] == sums[1]
