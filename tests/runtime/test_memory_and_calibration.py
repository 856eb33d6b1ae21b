"""Halving on exhausted memory, and the choice of a bucket, on sessions and clocks made here."""

import json

import numpy as np
import pytest

from latentpress.engines.memory import HalvingSession, OutOfMemory, is_out_of_memory
from latentpress.runtime import calibrate as module
from latentpress.runtime.calibrate import Calibration, calibrate, remembered


class Small:
    """Doubles its input; takes at most `fits` rows."""

    def __init__(self, fits, message="Failed to allocate memory for requested buffer of size 123"):
        self.fits, self.message, self.calls = fits, message, []

    def run(self, inputs):
        rows = len(inputs["x"])
        self.calls.append(rows)
        if rows > self.fits:
            raise RuntimeError(self.message)
        return {"y": inputs["x"] * 2}


def test_a_call_too_large_is_halved_and_the_next_one_starts_small():
    small = Small(3)
    session = HalvingSession(small, "unet")
    x = np.arange(7.0)[:, None]
    assert (session.run({"x": x})["y"] == 2 * x).all()
    assert small.calls == [7, 3, 3, 1]
    small.calls.clear()
    assert (session.run({"x": x})["y"] == 2 * x).all()
    assert small.calls == [3, 3, 1]


def test_memory_that_runs_out_midway_loses_no_row():
    """The limit falls between two parts of one call, as when another process takes memory meanwhile."""
    small = Small(4)
    session = HalvingSession(small, "unet")
    session.run({"x": np.zeros((8, 1))})
    x = np.arange(8.0)[:, None]
    run = small.run

    def shrinking(inputs):
        if len(small.calls) == 4:
            small.fits = 1
        return run(inputs)

    small.run = shrinking
    small.calls.clear()
    small.calls.extend([0, 0, 0])
    assert (session.run({"x": x})["y"] == 2 * x).all()
    assert session.limit == 1


def test_one_row_that_does_not_fit_is_said():
    with pytest.raises(OutOfMemory, match="unet: one row does not fit into memory"):
        HalvingSession(Small(0), "unet").run({"x": np.zeros((4, 1))})


def test_one_picture_too_large_leaves_the_others_their_rows():
    small = Small(4)
    session = HalvingSession(small, "unet")
    session.run({"x": np.zeros((8, 1))})
    small.fits = 0
    with pytest.raises(OutOfMemory):
        session.run({"x": np.zeros((4, 1))})
    assert session.limit == 4


def test_torch_says_out_of_memory_in_its_own_words():
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**58)
    assert is_out_of_memory(raised.value)


def test_other_failures_pass():
    with pytest.raises(RuntimeError, match="invalid graph"):
        HalvingSession(Small(0, "invalid graph"), "unet").run({"x": np.zeros((4, 1))})


@pytest.fixture
def clock(monkeypatch):
    """perf_counter as a list of one number that the calls under test move on."""
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def runner(clock, per_row, fits=10**9):
    def run(rows):
        if rows > fits:
            raise MemoryError
        clock[0] += per_row[rows] * rows / 1000

    return run


def test_the_fastest_bucket_per_row_is_taken(clock):
    per_row = {2: 10.0, 4: 8.0, 8: 6.0, 16: 5.0, 32: 5.5, 64: 5.6}
    assert calibrate(runner(clock, per_row)).rows == 16


def test_a_gain_below_three_percent_is_not_worth_a_larger_bucket(clock):
    per_row = {2: 10.0, 4: 9.9, 8: 9.8, 16: 1.0}
    found = calibrate(runner(clock, per_row), (2, 4, 8, 16))
    assert found.rows == 2
    assert list(found.milliseconds) == [2, 4, 8]  # two in a row were not worth it: 16 is not tried


def test_what_does_not_fit_is_not_taken(clock):
    per_row = {2: 10.0, 4: 8.0, 8: 6.0}
    assert calibrate(runner(clock, per_row, fits=4), (2, 4, 8)).rows == 4
    with pytest.raises(MemoryError):
        calibrate(runner(clock, per_row, fits=1), (2, 4))


def test_a_calibration_is_measured_once_and_a_broken_file_begun_anew(tmp_path):
    file = tmp_path / "cache" / "calibration.json"
    calls = []

    def measure():
        calls.append(1)
        return Calibration(8, {2: 2.0, 8: 1.0})

    first = remembered(file, "a", measure)
    assert remembered(file, "a", measure) == first
    assert len(calls) == 1
    remembered(file, "b", measure)
    assert sorted(json.loads(file.read_text())) == ["a", "b"]
    file.write_text("{")
    assert remembered(file, "a", measure) == first
    assert len(calls) == 3
