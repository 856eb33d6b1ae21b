"""What is shown while a plan renders: images/s and the time left do not count the opening of engines."""

import io
import time

import numpy as np
import pytest

from latentpress.batch.progress import LINE_SECONDS, Bar, Lines, progress_for
from latentpress.batch.summary import summary_lines
from latentpress.batch.tally import Silence, Tally, Together
from latentpress.runtime.request import Origin, Rendered

ORIGIN = Origin("fake", 8, "any", "a processor")


class Job:
    def __init__(self, index):
        self.title, self.output = f"job {index}", f"{index}.png"


@pytest.fixture
def clock(monkeypatch):
    """clock(seconds) lets time pass; nothing else does."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def passes(seconds):
        now[0] += seconds

    return passes


def picture(cause=""):
    image = None if cause else np.zeros((8, 8, 3), np.uint8)
    return Rendered(0, image, "memory ran out" if cause else None, 1.5, ORIGIN, cause=cause)


def test_the_rate_and_the_time_left_leave_out_every_loading(clock):
    stream = io.StringIO()
    tally = Tally(Lines(stream))
    with tally.opening("a"):
        clock(90)
    with tally.rendering(8, skipped=2):
        assert (tally.rate, tally.left) == (None, None)
        clock(LINE_SECONDS)
        tally.advance([Job(1), Job(2)], picture())
        assert (tally.rate, tally.pace, tally.left) == (0.2, None, None), "of one picture nobody knows"
        with tally.opening("b"):
            clock(300)
        clock(LINE_SECONDS)
        tally.advance([Job(3), Job(4)], picture(cause="memory"))
        assert (tally.rate, tally.pace, tally.left) == (0.1, 0.1, 20), "what failed is no image, and takes its time"
        clock(LINE_SECONDS)  # the writers' rest
    clock(1000)
    assert (tally.done, tally.failed, tally.causes, tally.loading, tally.seconds) == (2, 2, {"memory": 2}, 390, 30)
    assert list(summary_lines(tally)) == [
        "failed: 2 did not fit into memory",
        "2 images in 30 s after 6 min 30 s of loading, 0.07 images/s",
    ]
    tally.estimate = 33.0
    assert list(summary_lines(tally))[1].endswith("0.07 images/s, estimated 33 s")
    assert stream.getvalue().splitlines() == [
        "8 images to render, 2 already done",
        "2/8 images",
        "failed: job 3: memory ran out",
        "failed: job 4: memory ran out",
        "4/8 images, 2 failed, 0.10 images/s, 20 s left",
    ]


@pytest.mark.parametrize("together", [1, 4, 8])
@pytest.mark.parametrize("warming", [0, 30])
def test_the_pace_is_told_once_it_is_known_and_is_right_then(together, warming, clock):
    """Pictures that share calls come one soon after the other, every 20 s a new lot, the first after longer."""
    tally, told = Tally(), []
    with tally.rendering(80, skipped=0):
        clock(warming)
        for number in range(80):
            clock(0.5 if number % together else 20 - 0.5 * (together - 1))
            tally.advance([Job(number)], picture())
            if tally.pace is not None:
                told.append((number + 1, tally.pace, tally.left))
    assert told[0][0] <= together * (2 if warming else 1) + 1, "soon"
    assert all(pace == pytest.approx(together / 20, rel=0.01) for _, pace, _ in told)
    assert all(left == pytest.approx((80 - count) / pace) for count, pace, left in told)


def test_the_pace_follows_pictures_that_are_a_sixteenth_of_those_before(clock):
    tally = Tally()
    with tally.rendering(200, skipped=0):
        for number in range(200):
            clock(16 if number < 20 else 1)
            tally.advance([Job(number)], picture())
    assert tally.pace == pytest.approx(199 / (19 * 16 + 180), rel=0.05)


def test_verbose_lines_name_each_picture(clock):
    stream = io.StringIO()
    tally = Tally(Together(Silence(), Lines(stream, verbose=True)))
    with tally.opening("a"):
        clock(90)
    with tally.rendering(1, skipped=0):
        clock(2)
        tally.advance([Job(1)], picture())
    assert stream.getvalue().splitlines() == [
        "engines opened in 1 min 30 s",
        "1 image to render, 0 already done",
        "done: job 1: 1.png (1.5 s)",
    ]


def test_a_bar_is_for_a_terminal_that_something_is_known_of(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(progress_for(Terminal()), Bar)
    assert isinstance(progress_for(io.StringIO()), Lines)
    for name in ("dumb", None):
        monkeypatch.setenv("TERM", name) if name else monkeypatch.delenv("TERM")
        assert isinstance(progress_for(Terminal()), Lines)


def test_the_bar_shows_the_pace(clock, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    tally = Tally(Bar(verbose=True))
    with tally.opening("a"):
        clock(90)
    with tally.rendering(4, skipped=3):
        clock(4)
        tally.advance([Job(1), Job(2)], picture())
        clock(4)
        tally.advance([Job(3)], picture(cause="memory"))
    said = capsys.readouterr().err
    for part in ("engines opened in 1 min 30 s", "3 images are already done", "done: job 2: 2.png (1.5 s)", "3/4"):
        assert part in said
    assert "failed: job 3: memory ran out" in said
    assert "0.33 images/s  2.0 s left" in said
