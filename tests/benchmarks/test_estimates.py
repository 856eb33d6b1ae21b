"""Estimates are within a quarter of what renders take, once there was a render on the machine (benchmarks/estimates.py)."""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "estimates.py"
SPINNING = "import time\nwhile time.process_time() < 1: pass\nprint(flush=True)\ninput()"


@pytest.fixture
def estimates(monkeypatch):
    spec = importlib.util.spec_from_file_location("estimates", PATH)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "estimates", module)
    spec.loader.exec_module(module)
    return module


def test_the_clock_is_that_of_the_processes_that_were_started(estimates):
    clocked = estimates.Clocked("cpu")
    with subprocess.Popen([sys.executable, "-c", SPINNING], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        clocked.start(None)
        child.stdout.readline()
        end = time.process_time() + 0.2
        while time.process_time() < end:  # this process' own does not count
            pass
        clocked.finish(None)
        child.communicate(b"\n")
    assert 0.9 < clocked.seconds < 1.15


@pytest.mark.full
def test_estimates_are_within_a_quarter(estimates, demo_cache, tmp_path, monkeypatch):
    """By processor time, for other tests run meanwhile."""
    monkeypatch.setenv("LATENTPRESS_CACHE", str(demo_cache))
    found = list(estimates.compared(tmp_path, "cpu", 1))
    assert len(found) == 3
    assert all(abs(one.off) <= estimates.LIMIT for one in found), found
