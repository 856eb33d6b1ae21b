"""Whether a folder's pictures and those still to come would be of one make: one engine, one number of rows where it counts.

The same job on another engine, in another precision, or in fixed batches of another size, gives other pixels.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from latentpress.batch.ledger import Row
from latentpress.batch.plan import Plan
from latentpress.batch.status import is_done
from latentpress.engines.choice import engine_called
from latentpress.errors import UsageError

_WAYS_OUT = "render into another folder with -o, or add --mixed to let this one hold both"


def refuse_other_engine(plan: Plan, rows: Mapping[str, Row], folder: Path, engine: str) -> None:
    """Raise UsageError if pictures of `plan` in `folder` were rendered on another engine than `engine` (openvino:bf16)."""
    made = Counter(engine_called(row.origin.provider) for row in _done(plan, rows, folder))
    for other, count in made.most_common():
        if other != engine:
            raise UsageError(
                f"{folder}: {_pictures(count)} rendered on engine {other}, and this run would use {engine}, which gives "
                f"other pixels; go on with --engine {other}, {_WAYS_OUT}"
            )


def refuse_other_rows(plan: Plan, rows: Mapping[str, Row], folder: Path, row_rule: str) -> None:
    """Raise UsageError if pictures of `plan` were rendered with a fixed number of rows and this run's is another, or none.

    row_rule: of the run (engines/strict.py).
    """
    now = _fixed(row_rule)
    made = Counter(_fixed(row.origin.row_rule) for row in _done(plan, rows, folder))
    for other, count in made.most_common():
        if other == now:
            continue
        had = f"with {other} rows in every call" if other else "with any number of rows in a call"
        again = f"--strict --batch-rows {other}" if other else "without --strict"
        raise UsageError(
            f"{folder}: {_pictures(count)} rendered {had}, and this run would have {now or 'any number'}, which gives other "
            f"pixels on this engine; go on {'with ' if other else ''}{again}, {_WAYS_OUT}"
        )


def _done(plan: Plan, rows: Mapping[str, Row], folder: Path) -> list[Row]:
    found = [(job, rows.get(str(job.output))) for job in plan.jobs]
    return [row for job, row in found if row is not None and is_done(job, row, folder)]


def _fixed(row_rule: str) -> str:
    """The fixed number of rows; empty where there is none."""
    return row_rule if row_rule.isdigit() else ""


def _pictures(count: int) -> str:
    return "1 picture was" if count == 1 else f"{count} pictures were"
