"""Each render's row in the ledger: when it ran, what it rendered, what it was expected to take, and how it ended."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from latentpress.batch.ledger.ledger import Ledger
from latentpress.batch.plan.database import Database

FINISHED, INTERRUPTED, STOPPED, BROKEN = "finished", "interrupted", "stopped", "broken"
_COLUMNS = (
    "run, plan_hash, manifest, began, ended, end, pictures, done, failed, estimate, loading, seconds, engine, device, "
    "retries, why, warnings"
)
# Warnings of one render that are kept, and characters of each, and of why it ended.
_WARNINGS, _LONGEST = 100, 2000


@dataclass(frozen=True)
class RunRow:
    """One render, in the order they began.

    began, ended: seconds since 1970; end: FINISHED, INTERRUPTED (by a signal), STOPPED (by its policy) or BROKEN (by an
    error); both None while it runs, or where it was killed. pictures: how many it was to render; estimate: the seconds
    that it was expected to take; loading: the seconds before the first call of the engine; seconds: those after it.
    retries: those of its policy; why: what ended it, where it did not finish, None where nobody knows.
    """

    run: int
    plan_hash: str
    manifest: str
    began: float
    ended: float | None
    end: str | None
    pictures: int
    done: int | None
    failed: int | None
    estimate: float | None
    loading: float | None
    seconds: float | None
    engine: str | None
    device: str | None
    retries: int | None = None
    why: str | None = None
    told: str | None = None

    @property
    def rate(self) -> float | None:
        """Images a second that it rendered, without the loading; None where it rendered none."""
        return self.done / self.seconds if self.done and self.seconds else None

    @property
    def off(self) -> float | None:
        """How far its estimate was off, as a share of it: 0.1 where it took a tenth longer.

        None where there was none, or it did not render all that was estimated: what failed took another time.
        """
        if self.end != FINISHED or self.failed or not self.estimate or self.seconds is None:
            return None
        return self.seconds / self.estimate - 1

    @property
    def warnings(self) -> list[str]:
        """What it warned of."""
        return json.loads(self.told) if self.told else []


def begin_run(
    ledger: Ledger,
    plan_hash: str,
    manifest: str,
    pictures: int,
    estimate: float | None = None,
    retries: int | None = None,
) -> int:
    """Record that a render begins; returns its number."""
    ledger.run(
        "INSERT INTO runs (plan_hash, manifest, began, pictures, estimate, retries) VALUES (?, ?, ?, ?, ?, ?)",
        (plan_hash, manifest, time.time(), pictures, estimate, retries),
    )
    return int(ledger.one("SELECT max(run) FROM runs")[0])


def end_run(
    ledger: Ledger, run: int, end: str, why: str = "", warnings: Sequence[str] = (), **known: float | str | None
) -> None:
    """Record how a render ended, what ended it and what it warned of; `known` are columns of the table."""
    told = json.dumps([line[:_LONGEST] for line in warnings[:_WARNINGS]]) if warnings else None
    values = {"ended": time.time(), "end": end, "why": why[:_LONGEST] or None, "warnings": told, **known}
    columns = ", ".join(f"{name}=?" for name in values)
    ledger.run(f"UPDATE runs SET {columns} WHERE run=?", (*values.values(), run))


def runs(database: Database) -> list[RunRow]:
    """The renders of a folder, the last one last."""
    return [RunRow(*row) for row in database.answers(f"SELECT {_COLUMNS} FROM runs ORDER BY run")]
