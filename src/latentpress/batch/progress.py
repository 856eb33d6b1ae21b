"""What people see while a plan renders, on stderr: a bar on a terminal, a line now and then elsewhere."""

import os
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from latentpress.batch.plan.job import Job
from latentpress.batch.tally import Progress, Tally
from latentpress.errors import counted
from latentpress.runtime.request import Rendered

# Seconds between lines where there is no terminal: a nightly log of 8 hours stays under 3000 lines.
LINE_SECONDS = 10.0


class Failures:
    """A line for each failure, and nothing else."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def start(self, tally: Tally) -> None:
        """Ignored."""

    def opened(self, tally: Tally, bundle: str, seconds: float) -> None:
        """Ignored."""

    def advance(self, tally: Tally, jobs: Sequence[Job], rendered: Rendered[int]) -> None:
        """Name what failed."""
        for line in picture_lines(jobs, rendered, verbose=False):
            print(line, file=self.stream, flush=True)

    def finish(self, tally: Tally) -> None:
        """Ignored."""


class Lines:
    """Plain lines, at most one every LINE_SECONDS, and one for each failure; `verbose`: one for each picture."""

    def __init__(self, stream: TextIO, *, verbose: bool = False) -> None:
        self.stream, self.verbose = stream, verbose
        self.said = 0.0

    def start(self, tally: Tally) -> None:
        """Say what there is to do."""
        self.said = time.monotonic()
        self._say(f"{_images(tally.total)} to render, {tally.skipped} already done")

    def opened(self, tally: Tally, bundle: str, seconds: float) -> None:
        """Say how long it took, if all is wanted."""
        if self.verbose:
            self._say(f"engines opened in {duration(seconds)}")

    def advance(self, tally: Tally, jobs: Sequence[Job], rendered: Rendered[int]) -> None:
        """Name what failed; say how it goes if it has been quiet for long."""
        for line in picture_lines(jobs, rendered, self.verbose):
            self._say(line)
        now = time.monotonic()
        if now - self.said >= LINE_SECONDS:
            self.said = now
            failed = [f"{tally.failed:,} failed"] if tally.failed else []
            self._say(", ".join([f"{tally.count}/{tally.total} images", *failed, *_pace(tally)]))

    def finish(self, tally: Tally) -> None:
        """Ignored: the summary comes with the end of the command."""

    def _say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


class Bar:
    """A progress bar with images/s and the time left."""

    def __init__(self, *, verbose: bool = False) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self.verbose = verbose
        self.bar = RichProgress(
            TextColumn("rendering"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"),
            console=Console(stderr=True),
        )  # fmt: skip
        self.task = self.bar.add_task("", total=None, pace="", start=False)

    def start(self, tally: Tally) -> None:
        """Show the bar."""
        if tally.skipped:
            self._say(f"{tally.skipped} images are already done")
        self.bar.update(self.task, total=tally.total)
        self.bar.start_task(self.task)
        self.bar.start()

    def opened(self, tally: Tally, bundle: str, seconds: float) -> None:
        """Say how long it took, if all is wanted."""
        if self.verbose:
            self._say(f"engines opened in {duration(seconds)}")

    def advance(self, tally: Tally, jobs: Sequence[Job], rendered: Rendered[int]) -> None:
        """Move the bar; failures scroll by above it."""
        for line in picture_lines(jobs, rendered, self.verbose):
            self._say(line)
        self.bar.update(self.task, advance=len(jobs), pace="  ".join(_pace(tally)))

    def finish(self, tally: Tally) -> None:
        """Leave the bar as it stands."""
        self.bar.stop()

    def _say(self, line: str) -> None:
        self.bar.console.print(line, markup=False, highlight=False)


def progress_for(stream: TextIO = sys.stderr, *, verbose: bool = False) -> Progress:
    """A bar when people watch, lines when a log does, or a terminal that nothing is known of."""
    watched = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return Bar(verbose=verbose) if watched else Lines(stream, verbose=verbose)


def picture_lines(jobs: Sequence[Job], rendered: Rendered[int], verbose: bool) -> list[str]:
    """A line for each of `jobs` that failed, and, if all is wanted, for each that was rendered."""
    if rendered.image is None:
        return [f"failed: {job.title}: {rendered.error}" for job in jobs]
    return [f"done: {job.title}: {job.output} ({duration(rendered.seconds)})" for job in jobs] if verbose else []


def duration(seconds: float) -> str:
    """Seconds in words people read: 0.4 s, 45 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _pace(tally: Tally) -> list[str]:
    """Images/s and the time left, once they are known."""
    pace = [] if tally.pace is None else [f"{tally.pace:.2f} images/s"]
    return pace if tally.left is None else [*pace, f"{duration(tally.left)} left"]


def _images(count: int) -> str:
    return counted(count, "image")
