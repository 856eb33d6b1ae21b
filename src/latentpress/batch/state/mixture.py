"""Whether a folder's pictures and those still to come are all made the same way: graphs, engine, rows where it counts.

The same job on another export of its checkpoint, on another engine, in another precision, or in fixed batches of another
size, gives other pixels.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from latentpress.batch.state.status import Status
from latentpress.engines.choice import engine_called
from latentpress.errors import UsageError, counted

_WAYS_OUT = "render into another folder with -o, or add --mixed to let this one hold both"


def refuse_other_export(state: Status, folder: Path) -> None:
    """Raise UsageError if pictures of the plan were rendered on another export of the same checkpoint."""
    if (line := export_line(state)) is not None:
        raise UsageError(
            f"{folder}: {line}, which gives other pixels; render into another folder with -o, add --mixed to keep them and "
            "render the rest, or --redraw to draw them anew"
        )


def export_line(state: Status) -> str | None:
    """What to know of finished pictures whose graphs are no longer the bundle's, None where there are none."""
    for contents, count in state.exports.most_common():
        for content in contents.split():
            known = state.plan.table.one("SELECT source, name, parts FROM bundles WHERE content=?", (content,))
            now = next((facts for facts in state.plan.bundles.values() if known and facts.source == known[0]), None)
            if now is not None and now.content != content:
                differing = _differing(json.loads(known[2]), now.parts)
                return f"{_pictures(count)} rendered on another export of {known[1]} ({differing})"
        return f"{_pictures(count)} rendered on another export"
    return None


def _differing(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Which parts of two exports are not the same."""
    names = [name for name in dict.fromkeys([*then, *now]) if then.get(name) != now.get(name)]
    if not names:
        return "its graphs differ"
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"its {listed} {'differs' if len(names) == 1 else 'differ'}"


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
    return counted(count, "picture was", "pictures were")
