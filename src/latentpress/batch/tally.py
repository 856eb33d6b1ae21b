"""Counts and times a render: how many pictures, why some failed, how long opening engines took, and how long is left.

It passes on what happens to whoever shows it (progress.py), and knows nothing of how that looks.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Generator, Sequence
from typing import Protocol

from latentpress.batch.plan.job import Job
from latentpress.runtime.request import Origin, Rendered


class Progress(Protocol):
    """Hears of what happens in a render, and asks the tally how it goes."""

    def start(self, tally: "Tally") -> None:
        """Rendering begins."""
        ...

    def opened(self, tally: "Tally", bundle: str, seconds: float) -> None:
        """The engines of the bundle with this hash are open, after so many seconds, calibration included."""
        ...

    def advance(self, tally: "Tally", jobs: Sequence[Job], rendered: Rendered[int]) -> None:
        """A picture, or why there is none, went to the writers for all of `jobs`."""
        ...

    def finish(self, tally: "Tally") -> None:
        """Rendering ended, however that came; every picture that was finished is written."""
        ...


class Silence:
    """Says nothing; for callers that only want the summary."""

    def start(self, tally: "Tally") -> None:
        """Ignored."""

    def opened(self, tally: "Tally", bundle: str, seconds: float) -> None:
        """Ignored."""

    def advance(self, tally: "Tally", jobs: Sequence[Job], rendered: Rendered[int]) -> None:
        """Ignored."""

    def finish(self, tally: "Tally") -> None:
        """Ignored."""


class Together:
    """Passes on to several; `tally` is the render's, None before its engines are open."""

    def __init__(self, *progress: Progress) -> None:
        self._progress = progress
        self.tally: Tally | None = None

    def start(self, tally: "Tally") -> None:
        """Rendering begins."""
        self.tally = tally
        for one in self._progress:
            one.start(tally)

    def opened(self, tally: "Tally", bundle: str, seconds: float) -> None:
        """Engines are open."""
        self.tally = tally
        for one in self._progress:
            one.opened(tally, bundle, seconds)

    def advance(self, tally: "Tally", jobs: Sequence[Job], rendered: Rendered[int]) -> None:
        """A picture came, or failed."""
        for one in self._progress:
            one.advance(tally, jobs, rendered)

    def finish(self, tally: "Tally") -> None:
        """Rendering ended."""
        for one in self._progress:
            one.finish(tally)


class Tally:
    """What came of a render so far.

    total: the pictures to render; skipped: those that were done before; causes: of the failed ones, by
    `runtime.request.CAUSES`, "" where nobody knows; loading: the seconds in which engines were opened and calibrated;
    estimate: the seconds that rendering was expected to take, None where nobody knew; overshot: the pictures that losses
    moved by more than |x0| in one step; furthest: the most of these moves, as a share of |x0|.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress or Silence()
        self.total = self.skipped = self.done = self.failed = 0
        self.causes: Counter[str] = Counter()
        self.loading = 0.0
        self.overshot, self.furthest = 0, 0.0
        self.estimate: float | None = None
        self.origin: Origin | None = None
        self._began: float | None = None
        self._ended: float | None = None
        self._loading_since = 0.0  # what of `loading` came after rendering began
        self._pace = _Pace()

    @property
    def count(self) -> int:
        """How many pictures came out or failed."""
        return self.done + self.failed

    @property
    def seconds(self) -> float:
        """How long rendering has taken, without the loading."""
        if self._began is None:
            return 0.0
        now = time.monotonic() if self._ended is None else self._ended
        return max(now - self._began - self._loading_since, 0.0)

    @property
    def rate(self) -> float | None:
        """Images a second that were rendered in all, without the loading; None before the first."""
        return self.done / max(self.seconds, 1e-9) if self.done else None

    @property
    def pace(self) -> float | None:
        """Images a second that are rendered as it goes now; None until enough came to know it."""
        return self._pace.found * self.done / self.count if self._pace.found and self.done else None

    @property
    def left(self) -> float | None:
        """The seconds until all pictures came or failed, as fast as they do now; None until that is known."""
        return None if self._pace.found is None else (self.total - self.count) / self._pace.found

    @contextlib.contextmanager
    def opening(self, bundle: str) -> Generator[None]:
        """Around what opens the engines of the bundle with this hash."""
        began = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - began
            self.loading += seconds
            if self._began is not None:
                self._loading_since += seconds
        self._progress.opened(self, bundle, seconds)

    @contextlib.contextmanager
    def rendering(self, total: int, *, skipped: int) -> Generator[None]:
        """Around the rendering; finished however that ends, or an interrupted bar would leave the cursor hidden."""
        self.total, self.skipped = total, skipped
        self._began = time.monotonic()
        self._progress.start(self)
        try:
            yield
        finally:
            self._ended = time.monotonic()
            self._progress.finish(self)

    def advance(self, jobs: Sequence[Job], rendered: Rendered[int]) -> None:
        """A picture, or why there is none, went to the writers for all of `jobs`."""
        self.origin = rendered.origin
        self._pace.came(self.seconds, self.count, max(rendered.origin.batch_rows, 1))
        if (share := max((one.share for one in rendered.guided), default=0.0)) > 1:
            self.overshot, self.furthest = self.overshot + len(jobs), max(self.furthest, share)
        if rendered.image is None:
            self.failed += len(jobs)
            self.causes[rendered.cause] += len(jobs)
        else:
            self.done += len(jobs)
        self._progress.advance(self, jobs, rendered)


class _Pace:
    """Images a second, from when pictures come: counted from the first one on, and at pictures that come by themselves.

    The first takes what else a beginning takes, and pictures of the same calls come at once: at the first of them the
    pace would seem a fraction of what it is, and at the last a multiple.
    """

    def __init__(self) -> None:
        self.found: float | None = None
        self._first = self._last = 0.0
        self._counted = 0

    def came(self, seconds: float, before: int, most: int) -> None:
        """One comes, so long after the beginning and after so many others; most: as many as can come at once."""
        if before:
            since, gap = seconds - self._first, seconds - self._last
            alone = gap >= since / before / 2 or (self.found and before - self._counted >= most)
            if since >= self._first / 2 and since > 0 and alone:
                self.found, self._counted = before / since, before
        else:
            self._first = seconds
        self._last = seconds
