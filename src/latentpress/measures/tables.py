"""What was measured as rows, as a table's file and as JSON data: of each cell, of groups, and of each axis."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latentpress.errors import UsageError
from latentpress.measures.folder import Measured, Numbers, Spread
from latentpress.measures.picture import MEASURES
from latentpress.sheets.cells import DONE, Cell
from latentpress.sheets.table import rows_bytes, rows_of

KINDS = ("csv", "json", "jsonl", "parquet")
# Of a picture beside its reference.
BESIDE = ("against", "compared", "psnr", "ssim")
# What pairs of a group have a mean of.
APART = ("pixels", "structure")
_TEXTS = ("against", "compared")


@dataclass(frozen=True)
class Group:
    """Pictures that have `labels`. pictures: how many were measured; means: of each column, None where none has it;
    spreads: axis -> how many pairs differ in it alone, and their mean distances."""

    labels: Mapping[str, str]
    pictures: int
    means: Mapping[str, float | None]
    spreads: Mapping[str, Mapping[str, float]]


def check_table(path: Path) -> Path:
    """`path`; raises UsageError for a kind of file that no table is, ModuleNotFoundError where a package is missing."""
    kind = path.suffix[1:].lower()
    if kind not in KINDS:
        raise UsageError(f"-o {path}: a table is CSV, JSON or Parquet; give a name that ends in .{', .'.join(KINDS)}")
    if kind == "parquet":
        import pyarrow  # noqa: F401  # pyright: ignore[reportUnusedImport]
    return path


def columns(found: Measured) -> list[str]:
    """The columns that are numbers of single pictures and have means."""
    return ["seconds", *MEASURES, *(("psnr", "ssim") if found.against else ())]


def groups(found: Measured, by: Sequence[str] | None = None) -> list[Group]:
    """One for each combination of the values of `by`, by default the measured one's, in order of appearance."""
    axes = found.by if by is None else by
    if not axes:
        return []
    texts = [tuple(cell.labels.get(axis, "") for axis in axes) for cell in found.cells.cells]
    return [_group(found, dict(zip(axes, key, strict=True))) for key in dict.fromkeys(texts)]


def everything(found: Measured) -> Group:
    """All of the pictures as one group."""
    return _group(found, {})


def values(found: Measured, column: str, labels: Mapping[str, str]) -> list[float]:
    """What the measured pictures that have `labels` have in a column."""
    rows = zip(found.cells.cells, found.numbers, strict=True)
    some = [_value(cell, one, column) for cell, one in rows if one.values is not None and _has(cell.labels, labels)]
    return [value for value in some if value is not None]


def spreads(found: Measured, labels: Mapping[str, str]) -> dict[str, list[Spread]]:
    """By the axis in which they differ, the groups of pictures that all have `labels`."""
    chosen: dict[str, list[Spread]] = {}
    for one in found.spreads:
        if _has(one.labels, labels):
            chosen.setdefault(one.across, []).append(one)
    return chosen


def table_file(found: Measured, kind: str) -> bytes:
    """The file of a table, of a kind in KINDS; with `found.by` a row for each group, else for each cell; json is all.

    Raises ModuleNotFoundError for parquet without pyarrow.
    """
    if kind == "json":
        return (json.dumps(json_data(found), ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()
    if found.by:
        rows = [_flat(one) for one in groups(found)]
        heads = list(dict.fromkeys(key for row in rows for key in row))
        filled = [{key: row.get(key) for key in heads} for row in rows]
        texts = {_head(axis) for axis in found.by}
        kinds = {key: "string" if key in texts else "float64" for key in heads} | {"pictures": "int64"}
        return rows_bytes(filled, heads, kinds, kind)
    further = [*MEASURES, *(BESIDE if found.against else ())]
    rows, heads = rows_of(found.cells, found.cells.cells, further)
    for row, cell, one in zip(rows, found.cells.cells, found.numbers, strict=True):
        row |= {column: _told(cell, one, column) for column in further}
    return rows_bytes(rows, heads, {key: "float64" for key in further if key not in _TEXTS}, kind)


def json_data(found: Measured) -> dict[str, Any]:
    """All that was measured as JSON data; docs/schemas/measure.json."""
    return {
        "folder": str(found.folder),
        "plan_hash": found.cells.plan_hash,
        "counts": found.counts,
        "against": dict(found.against),
        "by": list(found.by),
        "all": _data(everything(found)),
        "groups": [_data(one) for one in groups(found)],
        "spreads": [
            {"across": one.across, "labels": dict(one.labels), "pictures": one.pictures, **_distances([one])}
            for one in found.spreads
        ],
        "cells": [
            {
                "file": str(cell.output),
                "state": cell.state,
                "labels": {axis: cell.labels.get(axis, "") for axis in found.cells.axes},
                **{name: _told(cell, one, name) for name in ("seconds", *MEASURES, *BESIDE)},
            }
            for cell, one in zip(found.cells.cells, found.numbers, strict=True)
        ],
    }


def _group(found: Measured, labels: Mapping[str, str]) -> Group:
    means = {column: _mean(values(found, column, labels)) for column in columns(found)}
    apart = {axis: _distances(some) for axis, some in spreads(found, labels).items()}
    return Group(labels, len(values(found, "luma", labels)), means, apart)


def _distances(some: Sequence[Spread]) -> dict[str, float]:
    """Means over all pairs of the groups."""
    pairs = [one.distances.pairs for one in some]
    means = {key: float(np.average([getattr(one.distances, key) for one in some], weights=pairs)) for key in APART}
    return {"pairs": sum(pairs), **means}


def _flat(group: Group) -> dict[str, Any]:
    """A group as a row: beside an axis' own column those of the distances across the others."""
    labels = {_head(axis): text for axis, text in group.labels.items()}
    row: dict[str, Any] = {**labels, "pictures": group.pictures, **group.means}
    for axis, apart in group.spreads.items():
        row |= {f"across_{axis}_{key}": apart[key] for key in APART}
    return row


def _head(axis: str) -> str:
    """The column of an axis, whatever it is called."""
    return f"{axis}_label" if axis in ("pictures", "seconds", *MEASURES, *BESIDE) else axis


def _data(group: Group) -> dict[str, Any]:
    across = [{"axis": axis, **apart} for axis, apart in group.spreads.items()]
    return {"labels": dict(group.labels), "pictures": group.pictures, "means": dict(group.means), "across": across}


def _value(cell: Cell, one: Numbers, column: str) -> float | None:
    if column == "seconds":
        # A picture that was found in the folder, and not rendered, took no time that anyone knows.
        return cell.seconds or None
    if column in MEASURES:
        return one.values[column] if one.values is not None else None
    return getattr(one.against, column) if one.against is not None else None


def _told(cell: Cell, one: Numbers, column: str) -> float | str | None:
    if column in _TEXTS:
        beside = one.against
        return None if beside is None else beside.file if column == "against" else beside.compared
    return _value(cell, one, column) if cell.state == DONE else None


def _has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(axis) == text for axis, text in wanted.items())


def _mean(some: Iterable[float]) -> float | None:
    found = list(some)
    return float(np.mean(found)) if found else None
