"""How the renders of a folder stand, by its ledger alone: who renders now, how the last one went, what failed and why."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from latentpress.batch.ledger.holder import holder
from latentpress.batch.ledger.runs import RunRow, runs
from latentpress.batch.place import LEDGER
from latentpress.batch.plan.database import Database
from latentpress.batch.progress import duration
from latentpress.batch.summary import cause_of
from latentpress.errors import counted

KILLED = "killed"


@dataclass(frozen=True)
class Failure:
    """A picture that failed. cause: of `runtime.request.CAUSES`, "" where nobody knows; when: seconds since 1970."""

    output: str
    error: str
    cause: str
    attempts: int
    when: float | None

    def data(self) -> dict[str, object]:
        """The same as JSON data."""
        return {
            "output": self.output,
            "error": self.error,
            "cause": self.cause or None,
            "attempts": self.attempts,
            "when": moment(self.when),
        }

    def line(self, title: str | None = None, *, quarantined: bool = False) -> str:
        """The same for people; title: of its job."""
        name = f"{title}: {self.output}" if title else self.output
        tries = "" if self.attempts == 1 else f"{self.attempts} attempts, the last "
        when = clock(self.when) if self.when else "at an unknown time"
        what = f"{cause_of(self.cause)}: " if self.cause else ""
        return f"{'quarantined' if quarantined else 'failed'}: {name}: {what}{self.error} ({tries}{when})"


@dataclass(frozen=True)
class Standing:
    """How renders stand; docs/commands.md says the same of `status`.

    pid: the process that renders now, None for none; last: the last render that had something to do, None for none; done,
    failed: the pictures that it rendered, and those that failed in it, so far if it runs; pace: images/s that it rendered,
    without loading, None where it rendered none or too few to tell; turn: the pictures a second that it comes to, failed
    ones too, while it runs.
    """

    pid: int | None
    last: RunRow | None
    done: int
    failed: int
    pace: float | None
    turn: float | None = None

    @property
    def end(self) -> str | None:
        """How the last render ended; None while it runs."""
        if self.last is None or self.last.end:
            return self.last.end if self.last else None
        return None if self.pid else KILLED

    def left(self, missing: int) -> float | None:
        """The seconds until the render that runs is through; else those that the next one takes for `missing` pictures.

        None where nothing is left, or the pace is not known.
        """
        if self.last is not None and self.pid and self.end is None:
            rest = self.last.pictures - self.done - self.failed
            return rest / self.turn if self.turn and rest > 0 else None
        return missing / self.pace if self.pace and missing else None

    def data(self, missing: int) -> dict[str, object]:
        """The same as JSON data."""
        last = self.last
        return {
            "pid": self.pid,
            "last_run": last
            and {
                "began": moment(last.began),
                "ended": moment(last.ended),
                "end": self.end,
                "images": last.pictures,
                "done": self.done,
                "failed": self.failed,
                "count": self.done + self.failed,
                "loading": last.loading,
                "seconds": last.seconds,
                "estimate": last.estimate,
            },
            "images_per_second": self.pace,
            "seconds_left": self.left(missing),
        }

    def line(self, missing: int) -> str | None:
        """The same in a sentence, None where nothing was rendered yet."""
        if self.pid and (self.last is None or self.last.end):
            return f"process {self.pid} prepares to render"
        if self.last is None:
            return None
        told = f"{self.done:,} of {counted(self.last.pictures, 'image')} rendered"
        told += f", {self.failed:,} failed" if self.failed else ""
        told += f", {self.pace:.2f} images/s" if self.pace else ""
        seconds = self.left(missing)
        if self.pid:
            left = f", about {duration(seconds)} left" if seconds else ""
            return f"process {self.pid} renders since {clock(self.last.began)}: {told}{left}"
        took = f", took {duration(self.last.ended - self.last.began)}" if self.last.ended else ""
        left = f"; the {missing:,} missing take about {duration(seconds)}" if seconds and missing > 1 else ""
        left = f"; the missing one takes about {duration(seconds)}" if seconds and missing == 1 else left
        return f"last render: began {clock(self.last.began)}{took}, {self.end}; {told}{left}"


def standing(home: Path, database: Database) -> Standing:
    """How renders of the folder stand whose lock and ledger lie in `home`; database: that sees the ledger's tables."""
    known = runs(database)
    pid = holder(home)
    if not known:
        return Standing(pid, None, 0, 0, None)
    last = known[-1]
    if last.end is not None:
        return Standing(pid, last, last.done or 0, last.failed or 0, last.rate)
    [(done, failed, oldest, newest)] = database.answers(
        "SELECT coalesce(sum(status='done'), 0), coalesce(sum(status='failed'), 0), min(finished), max(finished) "
        "FROM images WHERE finished >= ? AND plan_hash = ?",
        (last.began, last.plan_hash),
    )
    count = done + failed
    # By the newest picture: those of a batch come together, and the next ones count from there. Of the first batch
    # alone nothing is told, for it is counted whole only once the next one comes.
    enough = count > 1 and newest - oldest >= (oldest - last.began) / 2 > 0
    turn = count / (newest - last.began) if enough else None
    return Standing(pid, last, done, failed, turn * done / count if turn and done else None, turn)


def failure_at(database: Database, output: str) -> Failure:
    """What is known of the picture that failed under the name `output`."""
    query = "SELECT output, coalesce(error, ''), coalesce(cause, ''), attempts, finished FROM images WHERE output=?"
    return Failure(*database.one(query, (output,)))


def last_failures(database: Database, count: int) -> list[Failure]:
    """The newest failures of the plan that was recorded last."""
    query = (
        "SELECT images.output, coalesce(error, ''), coalesce(cause, ''), attempts, finished FROM jobs "
        "JOIN images ON images.output=jobs.output AND images.job_hash=jobs.job_hash "
        "WHERE images.status='failed' ORDER BY finished DESC LIMIT ?"
    )
    return [Failure(*row) for row in reversed(database.answers(query, (count,)))]


def recorded_counts(database: Database) -> tuple[int, int, int] | None:
    """(all, done, failed) of the plan that was recorded last, by the ledger alone; None where none was."""
    attached = any(name == "ledger" for _, name, _ in database.answers("PRAGMA database_list"))
    if not attached or not database.answers("PRAGMA ledger.table_info(jobs)"):
        return None
    query = (
        "SELECT count(*), coalesce(sum(images.status='done'), 0), coalesce(sum(images.status='failed'), 0) FROM jobs "
        "LEFT JOIN images ON images.output=jobs.output AND images.job_hash=jobs.job_hash"
    )
    [(total, done, failed)] = database.answers(query)
    return total, done, failed


def ledger_of(home: Path) -> Path:
    """The ledger that lies in `home`."""
    return home / LEDGER


def clock(seconds: float) -> str:
    """A time since 1970 as people here read it: 2026-11-28 03:12."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def moment(seconds: float | None) -> str | None:
    """The same for programs: ISO 8601, with this machine's distance from UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
