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
        assert (tally.rate, tally.left) == (0.2, 30)
        with tally.opening("b"):
            clock(300)
        clock(LINE_SECONDS)
        tally.advance([Job(3), Job(4)], picture(cause="memory"))
        assert (tally.rate, tally.left) == (0.2, 20)
        clock(LINE_SECONDS)  # the writers' rest
    clock(1000)
    assert (tally.done, tally.failed, tally.causes, tally.loading, tally.seconds) == (2, 2, {"memory": 2}, 390, 30)
    assert list(summary_lines(tally)) == [
        "failed: 2 did not fit into memory",
        "4 images in 30 s after 6 min 30 s of loading, 0.13 images/s",
    ]
    tally.estimate = 33.0
    assert list(summary_lines(tally))[1].endswith("0.13 images/s, estimated 33 s")
    assert stream.getvalue().splitlines() == [
        "8 images to render, 2 already done",
        "2/8 images, 0.20 images/s, 30 s left",
        "failed: job 3: memory ran out",
        "failed: job 4: memory ran out",
        "4/8 images, 0.20 images/s, 20 s left",
    ]


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
        tally.advance([Job(3)], picture(cause="memory"))
    said = capsys.readouterr().err
    for part in ("engines opened in 1 min 30 s", "3 images are already done", "done: job 2: 2.png (1.5 s)", "3/4"):
        assert part in said
    assert "failed: job 3: memory ran out" in said
    assert "0.75 images/s  1.3 s left" in said
