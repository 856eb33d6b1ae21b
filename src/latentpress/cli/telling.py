"""What a render tells of itself while it runs and at its end: to people, to a log file, and to whoever waits for it."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from latentpress.cli.failures import failure_of
from latentpress.cli.manifests import to_stderr
from latentpress.cli.signals import interrupted, received
from latentpress.errors import UsageError
from latentpress.version import __version__

if TYPE_CHECKING:
    from latentpress.batch.folder import OutputFolder
    from latentpress.batch.log import Log
    from latentpress.batch.run import Outcome
    from latentpress.batch.tally import Progress, Tally

# Whoever stops a render waits no longer than this for the one that is told of it: `docker stop` kills after ten seconds.
_STOPPED_SECONDS = 5.0


class Telling:
    """What the renders of one command tell. Raises UsageError for quiet and verbose at once."""

    def __init__(
        self,
        *,
        quiet: bool = False,
        verbose: bool = False,
        log_file: Path | None = None,
        on_complete: str | None = None,
    ) -> None:
        from latentpress.batch.log import Log

        if quiet and verbose:
            raise UsageError("--quiet and --verbose are opposites; give one of them")
        self._quiet, self._verbose, self._on_complete = quiet, verbose, on_complete
        self._log = None if log_file is None else Log(log_file)
        self._told: str | None = None
        self._tell_problem()

    def say(self, line: str) -> None:
        """A sentence of a render: a warning, or what was chosen and why."""
        if self._log:
            self._log.event("warning" if line.startswith("warning") else "note", line=line)
        if not self._quiet or line.startswith("warning"):
            to_stderr(line)

    @contextlib.contextmanager
    def render(self, folder: "OutputFolder") -> Generator["Rendering"]:
        """Around the render of a folder, however it ends."""
        rendering = Rendering(self._shown(), self._log)
        about = {"manifest": str(folder.manifest.path), "name": folder.manifest.name, "folder": str(folder.path)}
        if self._log:
            self._log.event("began", **about, pid=os.getpid(), latentpress=__version__)
        try:
            yield rendering
        except BaseException as error:
            if not self._quiet:
                for line in rendering.lines():
                    to_stderr(line)
            self._end(about | rendering.data() | _ending_of(error))
            raise
        self._end(about | rendering.data() | rendering.end)

    @property
    def quiet(self) -> bool:
        """Whether only what is wrong is printed."""
        return self._quiet

    def _shown(self) -> "Progress":
        from latentpress.batch.progress import Failures, progress_for

        return Failures(sys.stderr) if self._quiet else progress_for(sys.stderr, verbose=self._verbose)

    def _end(self, data: dict[str, object]) -> None:
        from latentpress.cli.on_complete import tell

        if self._log:
            self._log.event("ended", **data)
        self._tell_problem()
        if self._on_complete:
            seconds = _STOPPED_SECONDS if data["end"] == "interrupted" else None
            if problem := tell(self._on_complete, data, seconds=seconds):
                self.say(f"warning: --on-complete: {problem}")

    def _tell_problem(self) -> None:
        """Say once what is the matter with the log."""
        if self._log and self._log.problem and self._log.problem != self._told:
            self._told = self._log.problem
            to_stderr(f"warning: --log-file: {self._told}")


class Rendering:
    """One render. progress: what it is shown by; outcome: what came of it, once it came to its end."""

    def __init__(self, shown: "Progress", log: "Log | None") -> None:
        from latentpress.batch.tally import Together

        self._began = time.monotonic()
        self.progress = Together(shown, *([log] if log else []))
        self.outcome: Outcome | None = None

    @property
    def exit(self) -> int:
        """The exit code of one that came to its end."""
        if self.outcome is None:
            return 0
        summary = self.outcome.summary
        return 1 if summary.failed or summary.quarantined else 4 if summary.stopped else 0

    @property
    def end(self) -> dict[str, object]:
        """How one ended that came to its end."""
        if self.outcome is None or not self.outcome.summary.stopped:
            return {"end": "finished", "exit": self.exit}
        return {"end": "stopped", "exit": self.exit}

    @property
    def tally(self) -> "Tally | None":
        """Its counts and times, None before its engines were opened."""
        return self.outcome.tally if self.outcome else self.progress.tally

    def data(self) -> dict[str, object]:
        """Counts and times as JSON data."""
        from latentpress.batch.summary import summary_data
        from latentpress.batch.tally import Tally

        tally = self.tally or Tally()
        skipped = self.outcome.summary.skipped if self.outcome else tally.skipped
        kept_out, left = (0, tally.total - tally.count)
        if self.outcome:
            kept_out, left = self.outcome.summary.quarantined, self.outcome.summary.left
        stopped = self.outcome.summary.stopped or None if self.outcome else None
        counts = {"skipped": skipped, "quarantined": kept_out, "left": left, "stopped": stopped}
        return counts | summary_data(tally) | {"wall": round(time.monotonic() - self._began, 3)}

    def lines(self) -> list[str]:
        """Failures by cause and times, for people."""
        from latentpress.batch.summary import summary_lines

        return list(summary_lines(self.tally)) if self.tally else []


def _ending_of(error: BaseException) -> dict[str, object]:
    if isinstance(error, KeyboardInterrupt):
        return {
            "end": "interrupted",
            "exit": interrupted()[1],
            "error": f"stopped by {signal.Signals(received()).name}",
        }
    failure = failure_of(error)
    return {
        "end": "broken",
        "exit": failure.code if failure else 1,
        "error": failure.message if failure else repr(error),
    }
