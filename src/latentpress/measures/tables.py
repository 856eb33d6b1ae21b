"""What was measured as rows, as a table's file and as JSON data: of each cell, of groups, and of each axis."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latentpress.errors import UsageError
from latentpress.measures.axes import key_of
from latentpress.measures.cells import UNREADABLE, Measured, Numbers, Spread
from latentpress.measures.picture import MEASURES
from latentpress.sheets.cells import DONE, Cell
from latentpress.sheets.cells import reason_of as why_none
from latentpress.sheets.table import rows_bytes, rows_of

KINDS = ("csv", "json", "jsonl", "parquet")
# Of a picture beside its reference.
BESIDE = ("against", "compared", "psnr", "ssim")
# What pairs of a group have a mean of.
APART = ("pixels", "structure")
_TEXTS = ("against", "compared")


@dataclass(frozen=True)
class Group:
    """Pictures that have `labels`. pictures: how many were measured; values: of each column what they have; spreads: axis ->
    the groups of some of them that differ in it alone."""

    labels: Mapping[str, str]
    pictures: int
    values: Mapping[str, Sequence[float]]
    spreads: Mapping[str, Sequence[Spread]]

    @property
    def means(self) -> dict[str, float | None]:
        """Of each column, None where no picture has it."""
        return {column: float(np.mean(some)) if some else None for column, some in self.values.items()}

    @property
    def apart(self) -> dict[str, dict[str, float]]:
        """axis -> how many pairs differ in it alone, and their mean distances."""
        return {axis: _distances(some) for axis, some in self.spreads.items()}


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
    return ["seconds", *MEASURES, *(("psnr", "ssim") if found.against else ()), *found.cells.figures]


def groups(found: Measured, by: Sequence[str] | None = None) -> list[Group]:
    """One for each combination of the values of `by`, by default the measured one's, in order of appearance."""
    axes = tuple(found.by if by is None else by)
    if not axes:
        return []
    rows: dict[tuple[str, ...], list[tuple[Cell, Numbers]]] = {}
    for cell, one in zip(found.cells.cells, found.numbers, strict=True):
        rows.setdefault(key_of(cell.labels, axes), []).append((cell, one))
    spreads: dict[tuple[str, ...], list[Spread]] = {}
    for spread in found.spreads:
        if all(axis in spread.labels for axis in axes):
            spreads.setdefault(key_of(spread.labels, axes), []).append(spread)
    return [_group(found, dict(zip(axes, key, strict=True)), some, spreads.get(key, ())) for key, some in rows.items()]


def status_of(cell: Cell, one: Numbers) -> str:
    """The cell's state, and `unreadable` where it is done and its file holds no picture."""
    return UNREADABLE if cell.state == DONE and one.values is None else cell.state


def reason_of(cell: Cell, one: Numbers) -> str:
    """Why a cell has no numbers; "" where it has."""
    return one.why or why_none(cell)


def everything(found: Measured) -> Group:
    """All of the pictures as one group."""
    return _group(found, {}, list(zip(found.cells.cells, found.numbers, strict=True)), found.spreads)


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
    further = [*MEASURES, *(BESIDE if found.against else ()), *found.cells.figures]
    rows, heads = rows_of(found.cells, found.cells.cells, further)
    for row, cell, one in zip(rows, found.cells.cells, found.numbers, strict=True):
        row |= {"status": status_of(cell, one), "reason": reason_of(cell, one)}
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
                "status": status_of(cell, one),
                "reason": reason_of(cell, one),
                "labels": {axis: cell.labels.get(axis, "") for axis in found.cells.axes},
                **{name: _told(cell, one, name) for name in ("seconds", *MEASURES, *BESIDE, *found.cells.figures)},
            }
            for cell, one in zip(found.cells.cells, found.numbers, strict=True)
        ],
    }


def _group(
    found: Measured, labels: Mapping[str, str], rows: Sequence[tuple[Cell, Numbers]], spreads: Sequence[Spread]
) -> Group:
    there = [(cell, one) for cell, one in rows if one.values is not None]
    values = {
        column: [value for cell, one in there if (value := _value(cell, one, column)) is not None]
        for column in columns(found)
    }
    apart: dict[str, list[Spread]] = {}
    for spread in spreads:
        apart.setdefault(spread.across, []).append(spread)
    return Group(labels, len(there), values, apart)


def _distances(some: Sequence[Spread]) -> dict[str, float]:
    """Means over all pairs of the groups."""
    pairs = [one.distances.pairs for one in some]
    means = {key: float(np.average([getattr(one.distances, key) for one in some], weights=pairs)) for key in APART}
    return {"pairs": sum(pairs), **means}


def _flat(group: Group) -> dict[str, Any]:
    """A group as a row: beside an axis' own column those of the distances across the others."""
    labels = {_head(axis): text for axis, text in group.labels.items()}
    row: dict[str, Any] = {**labels, "pictures": group.pictures, **group.means}
    for axis, apart in group.apart.items():
        row |= {f"across_{axis}_{key}": apart[key] for key in APART}
    return row


def _head(axis: str) -> str:
    """The column of an axis, whatever it is called."""
    return f"{axis}_label" if axis in ("pictures", "seconds", *MEASURES, *BESIDE) else axis


def _data(group: Group) -> dict[str, Any]:
    across = [{"axis": axis, **apart} for axis, apart in group.apart.items()]
    return {"labels": dict(group.labels), "pictures": group.pictures, "means": dict(group.means), "across": across}


def _value(cell: Cell, one: Numbers, column: str) -> float | None:
    if column == "seconds":
        # A picture that was found in the folder, and not rendered, took no time that anyone knows.
        return cell.seconds or None
    if column in MEASURES:
        return one.values[column] if one.values is not None else None
    if column not in BESIDE:
        return cell.figures.get(column)
    return getattr(one.against, column) if one.against is not None else None


def _told(cell: Cell, one: Numbers, column: str) -> float | str | None:
    if column in _TEXTS:
        beside = one.against
        return None if beside is None else beside.file if column == "against" else beside.compared
    return _value(cell, one, column) if cell.state == DONE else None
