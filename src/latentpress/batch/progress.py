"""What people see while a plan renders, on stderr: a bar on a terminal, a line now and then elsewhere."""

import contextlib
import sys
import time
from collections.abc import Generator, Sequence
from typing import Protocol, TextIO

from latentpress.batch.plan.job import Job

# Seconds between lines where there is no terminal: a nightly log of 8 hours stays under 3000 lines.
LINE_SECONDS = 10.0


class Progress(Protocol):
    """Hears of each picture as it is handed to the writer."""

    def start(self, total: int, *, skipped: int) -> None: ...
    def advance(self, jobs: Sequence[Job], error: str | None) -> None: ...
    def finish(self) -> None: ...


@contextlib.contextmanager
def showing(progress: Progress, total: int, *, skipped: int) -> Generator[None]:
    """Show `progress` within; finished however that ends, or an interrupted bar would leave the cursor hidden."""
    progress.start(total, skipped=skipped)
    try:
        yield
    finally:
        progress.finish()


class Silence:
    """Says nothing; for callers that only want the summary."""

    def start(self, total: int, *, skipped: int) -> None:
        """Ignored."""

    def advance(self, jobs: Sequence[Job], error: str | None) -> None:
        """Ignored."""

    def finish(self) -> None:
        """Ignored."""


class Lines:
    """Plain lines, at most one every LINE_SECONDS, and one for each failure."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.total = self.count = 0
        self.began = self.said = 0.0

    def start(self, total: int, *, skipped: int) -> None:
        """Say what there is to do."""
        self.total = total
        self.began = self.said = time.monotonic()
        self._say(f"{_images(total)} to render, {skipped} already done")

    def advance(self, jobs: Sequence[Job], error: str | None) -> None:
        """Count the pictures; say so if it has been quiet for long."""
        self.count += len(jobs)
        now = time.monotonic()
        if error:
            for job in jobs:
                self._say(f"failed: {job.title}: {error}")
        if now - self.said >= LINE_SECONDS:
            self.said = now
            rate = self.count / max(now - self.began, 1e-9)
            left = duration((self.total - self.count) / rate)
            self._say(f"{self.count}/{self.total} images, {rate:.2f} images/s, {left} left")

    def finish(self) -> None:
        """Say how it went overall."""
        seconds = time.monotonic() - self.began
        if self.count:
            self._say(f"{_images(self.count)} in {duration(seconds)}, {self.count / max(seconds, 1e-9):.2f} images/s")

    def _say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


class Bar:
    """A progress bar with images/s and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.bar = RichProgress(
            TextColumn("rendering"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=Console(stderr=True),
        )
        self.task = self.bar.add_task("", total=None, rate="", start=False)
        self.count = 0
        self.began = 0.0

    def start(self, total: int, *, skipped: int) -> None:
        """Show the bar."""
        if skipped:
            self.bar.console.print(f"{skipped} images are already done")
        self.began = time.monotonic()
        self.bar.update(self.task, total=total)
        self.bar.start_task(self.task)
        self.bar.start()

    def advance(self, jobs: Sequence[Job], error: str | None) -> None:
        """Move the bar; failures scroll by above it."""
        self.count += len(jobs)
        if error:
            for job in jobs:
                self.bar.console.print(f"failed: {job.title}: {error}", markup=False)
        rate = self.count / max(time.monotonic() - self.began, 1e-9)
        self.bar.update(self.task, advance=len(jobs), rate=f"{rate:.2f} images/s")

    def finish(self) -> None:
        """Leave the bar as it stands."""
        self.bar.stop()


def progress_for(stream: TextIO = sys.stderr) -> Progress:
    """A bar when people watch, lines when a log does."""
    return Bar() if stream.isatty() else Lines(stream)


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


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"
