"""The cells of a sheet as a table, one row each: CSV, JSON lines or Parquet. Knows cells and no files."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from latentpress.sheets.cells import Cell, Cells, reason_of

# Every row has these; between the first three and the others stand the axes.
_FIRST = ("file", "status", "reason")
_LAST = (
    *("prompt", "negative_prompt", "seed", "width", "height", "seconds", "job_hash", "pixel_sha256"),
    "alt",
)
_KINDS = {"seed": "uint64", "width": "int64", "height": "int64", "seconds": "float64"}


def table_bytes(cells: Cells, shown: Sequence[Cell], kind: str) -> bytes:
    """The cells `shown` as the file of a table; kind: csv, jsonl or parquet. ModuleNotFoundError without pyarrow."""
    rows, heads = rows_of(cells, shown, cells.figures)
    for row, cell in zip(rows, shown, strict=True):
        row |= {name: cell.figures.get(name) for name in cells.figures}
    return rows_bytes(rows, heads, dict.fromkeys(cells.figures, "float64"), kind)


def rows_of(cells: Cells, shown: Sequence[Cell], further: Sequence[str] = ()) -> tuple[list[dict[str, Any]], list[str]]:
    """A row for each of `shown`, and the names of the columns; those of `further` are the last, for others to fill."""
    columns = columns_of(cells, further)
    return [_row(cell, columns) for cell in shown], [*columns, *further]


def rows_bytes(rows: Sequence[Mapping[str, Any]], heads: Sequence[str], kinds: Mapping[str, str], kind: str) -> bytes:
    """Rows that have each of `heads` as the file of a table; kinds: Parquet's type of a column that is no text of ours."""
    if kind == "parquet":
        return _parquet(rows, heads, {**_KINDS, **kinds})
    if kind == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(heads), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def columns_of(cells: Cells, further: Sequence[str] = ()) -> dict[str, str | None]:
    """The columns in order: of each axis the key of its labels, None of the others.

    An axis that has the name of a column, such as seed, or of one of `further`, has its labels in `seed_label`.
    """
    taken = {*_FIRST, *_LAST, *further}
    axes: dict[str, str | None] = {f"{key}_label" if key in taken else key: key for key in cells.axes}
    return dict.fromkeys(_FIRST) | axes | dict.fromkeys(_LAST)


def _row(cell: Cell, columns: dict[str, str | None]) -> dict[str, Any]:
    # Of a picture that was not rendered here nobody knows what it took: zero seconds would spoil every mean.
    own = {"file": str(cell.output), "status": cell.state, "seconds": cell.seconds or None}
    own["reason"] = reason_of(cell)
    return {
        column: own[column] if column in own else cell.labels.get(key, "") if key is not None else getattr(cell, column)
        for column, key in columns.items()
    }


def _parquet(rows: Sequence[Mapping[str, Any]], heads: Sequence[str], kinds: Mapping[str, str]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types: list[tuple[str, Any]] = [
        (column, getattr(pa, kinds[column])() if column in kinds else pa.string()) for column in heads
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=pa.schema(types)), buffer)
    return buffer.getvalue()
