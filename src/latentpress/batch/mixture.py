"""Whether a folder's pictures and those still to come are all made the same way: one engine, the same rows where it counts.

The same job on another engine, in another precision, or in fixed batches of another size, gives other pixels.
"""

from collections import Counter
from pathlib import Path

from latentpress.batch.status import Status
from latentpress.engines.choice import engine_called
from latentpress.errors import UsageError

_WAYS_OUT = "render into another folder with -o, or add --mixed to let this one hold both"


def refuse_other_engine(state: Status, folder: Path, bundle: str, engine: str) -> None:
    """Raise UsageError if pictures of the bundle with this hash were rendered on another engine than `engine`."""
    made: Counter[str] = Counter()
    for make, count in state.made.items():
        if make.bundle == bundle:
            made[engine_called(make.provider)] += count
    for other, count in made.most_common():
        if other != engine:
            raise UsageError(
                f"{folder}: {_pictures(count)} rendered on engine {other}, and this run would use {engine}, which gives "
                f"other pixels; go on with --engine {other}, {_WAYS_OUT}"
            )


def refuse_other_rows(state: Status, folder: Path, bundle: str, row_rule: str) -> None:
    """Raise UsageError if pictures of this bundle were rendered with other fixed rows than this run has, or none.

    row_rule: of the run (engines/strict.py).
    """
    now = _fixed(row_rule)
    made: Counter[str] = Counter()
    for make, count in state.made.items():
        if make.bundle == bundle:
            made[_fixed(make.row_rule)] += count
    for other, count in made.most_common():
        if other == now:
            continue
        had = f"with {other} rows in every call" if other else "with any number of rows in a call"
        again = f"--strict --batch-rows {other}" if other else "without --strict"
        raise UsageError(
            f"{folder}: {_pictures(count)} rendered {had}, and this run would have {now or 'any number'}, which gives other "
            f"pixels on this engine; go on {'with ' if other else ''}{again}, {_WAYS_OUT}"
        )


def _fixed(row_rule: str) -> str:
    """The fixed number of rows; empty where there is none."""
    return row_rule if row_rule.isdigit() else ""


def _pictures(count: int) -> str:
    return "1 picture was" if count == 1 else f"{count} pictures were"
