"""What other programs took, against other programs that really run, and against a made-up /proc."""

import os
import subprocess
import sys
import time

import pytest

from latentpress.runtime import busy

SPIN = "while True: pass"


@pytest.fixture
def one_cpu():
    """This process, and those it starts, on one CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_a_program_on_the_same_cpu_is_seen(one_cpu):
    other = subprocess.Popen([sys.executable, "-c", SPIN])
    try:
        time.sleep(0.2)
        share = busy.watch()
        spin(0.6)
        found = share()
    finally:
        other.kill()
        other.wait()
    assert found is not None
    assert found > 0.3, "two programs share the CPU, and whatever else runs takes more"


def made_up(folder, ran, waited, working, stolen):
    """A /proc of one thread and two CPUs, in seconds."""
    task = folder / "self/task/7"
    task.mkdir(parents=True, exist_ok=True)
    (task / "schedstat").write_text(f"{int(ran * 1e9)} {int(waited * 1e9)} 5\n")
    half = int(working * os.sysconf("SC_CLK_TCK") / 2)
    lines = [f"cpu{index} {half} 0 0 900 0 0 0 {int(stolen * 100) if index == 0 else 0} 0 0" for index in (0, 1)]
    (folder / "stat").write_text("\n".join(["cpu 1 2 3 4 5 6 7 8 9 0", *lines, "cpu2 99999 0 0 0 0 0 0 999 0 0", ""]))


@pytest.mark.parametrize(
    ("ran", "waited", "working", "stolen", "share"),
    [
        (4, 0.02, 4.1, 0, 0.005),  # a quiet machine
        (4, 4, 8, 0, 0.5),
        (4, 3, 4.1, 0, 0.024),  # own threads wait for one another
        (4, 0, 4, 1, 0.2),  # the host takes a part
        (0, 0, 0, 0, 0.0),
    ],
)
def test_the_share_is_of_what_was_asked_for(ran, waited, working, stolen, share, tmp_path, monkeypatch):
    monkeypatch.setattr(busy, "_PROC", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    made_up(tmp_path, 10, 1, 100, 2)
    found = busy.watch()
    made_up(tmp_path, 10 + ran, 1 + waited, 100 + working, 2 + stolen)
    assert found() == pytest.approx(share, abs=0.005)


def test_a_system_that_does_not_tell_is_not_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(busy, "_PROC", tmp_path)
    assert busy.watch()() is None
