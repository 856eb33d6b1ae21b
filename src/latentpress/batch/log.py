"""A log of renders for programs: a file of JSON lines, one for each event. What becomes of it matters to no render.

docs/commands.md lists the events.
"""

import contextlib
import json
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from latentpress.batch.plan.job import Job
from latentpress.batch.summary import summary_data
from latentpress.batch.tally import Tally
from latentpress.runtime.request import Rendered


class Log:
    """Appends to the file `path`; a `Progress` whose `problem` says why events are missing, if some are."""

    def __init__(self, path: Path) -> None:
        self.problem: str | None = None
        self._path, self._torn = path, False
        self._descriptor: int | None = None
        try:
            # Not waited for: a pipe without a reader must not stop a render, nor one whose reader does not read.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o644)
        except OSError as error:
            self.problem = f"{path}: cannot be written ({error.strerror}); the render goes on without a log"

    def event(self, name: str, /, **facts: object) -> None:
        """Append a line with the time, the event's name and `facts`."""
        moment = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._append(json.dumps({"time": moment, "event": name, **facts}) + "\n")

    def close(self) -> None:
        """No more events come."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = None

    def start(self, tally: Tally) -> None:
        """Rendering begins."""
        self.event("rendering", images=tally.total, skipped=tally.skipped, estimate=tally.estimate)

    def opened(self, tally: Tally, bundle: str, seconds: float) -> None:
        """Engines are open."""
        self.event("opened", bundle=bundle, seconds=round(seconds, 3))

    def advance(self, tally: Tally, jobs: Sequence[Job], rendered: Rendered[int]) -> None:
        """A picture, or why there is none, under each of its names."""
        for job in jobs:
            told: dict[str, object] = {
                "output": str(job.output),
                "job": job.title,
                "seconds": round(rendered.seconds, 3),
            }
            if rendered.image is None:
                self.event("failed", **told, error=rendered.error, cause=rendered.cause or None)
            else:
                self.event("done", **told)

    def finish(self, tally: Tally) -> None:
        """Rendering ended."""
        self.event("rendered", **summary_data(tally))

    def _append(self, line: str) -> None:
        if self._descriptor is None:
            return
        # After a line that the disk took a part of, the next one begins on its own.
        content = (b"\n" if self._torn else b"") + line.encode()
        try:
            count = os.write(self._descriptor, content)
        except OSError as error:
            self.problem = f"{self._path}: events are missing ({error.strerror})"
            return
        self._torn = count < len(content)
        if self._torn:
            self.problem = f"{self._path}: events are missing (No space left on device)"
