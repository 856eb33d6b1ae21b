"""Finished pictures are looked at in 10 s of CPU a million; a quarter of a million is looked at here, after the start."""

import sys
from itertools import takewhile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import resume

pytestmark = pytest.mark.full
JOBS, MILLION, SECONDS = 250_000, 1_000_000, 10.0


def test_finished_pictures_are_looked_at_in_time(tmp_path):
    small, large = tmp_path / "small", tmp_path / "large"
    small.mkdir()
    large.mkdir()
    wanted = ("status, all done", "render, all done")
    start = {one.command: one.cpu for one in found(small, 10)}
    took = {one.command: one.cpu for one in found(large, JOBS)}
    for command in wanted:
        allowed = start[command] + (SECONDS - start[command]) * JOBS / MILLION
        assert took[command] <= allowed, (command, took, start)


def found(scratch, jobs):
    """What the commands took that look at finished pictures, without the long listings behind them."""
    return list(takewhile(lambda one: "--json" not in one.command, resume.figures("jsonl", jobs, scratch)))
