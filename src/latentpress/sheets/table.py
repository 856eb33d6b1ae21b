"""The cells of a sheet as a table, one row each: CSV, JSON lines or Parquet. Knows cells and no files."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from latentpress.sheets.cells import Cell, Cells

# Every row has these; between the first three and the others stand the axes.
_FIRST = ("file", "state", "reason")
_LAST = (
    *("prompt", "negative_prompt", "seed", "width", "height", "seconds", "job_hash", "pixel_sha256"),
    "alt",
)
_KINDS = {"seed": "uint64", "width": "int64", "height": "int64", "seconds": "float64"}


def table_bytes(cells: Cells, shown: Sequence[Cell], kind: str) -> bytes:
    """The cells `shown` as the file of a table; kind: csv, jsonl or parquet. ModuleNotFoundError without pyarrow."""
    columns = columns_of(cells)
    rows = [_row(cell, columns) for cell in shown]
    if kind == "parquet":
        return _parquet(rows, columns)
    if kind == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(columns), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def columns_of(cells: Cells) -> dict[str, str | None]:
    """The columns in order: of each axis the key of its labels, None of the others.

    An axis that has the name of a column, such as seed, has its labels in `seed_label`.
    """
    taken = {*_FIRST, *_LAST}
    axes: dict[str, str | None] = {f"{key}_label" if key in taken else key: key for key in cells.axes}
    return dict.fromkeys(_FIRST) | axes | dict.fromkeys(_LAST)


def _row(cell: Cell, columns: dict[str, str | None]) -> dict[str, Any]:
    return {
        column: str(cell.output)
        if column == "file"
        else cell.labels.get(key, "")
        if key is not None
        else getattr(cell, column)
        for column, key in columns.items()
    }


def _parquet(rows: list[dict[str, Any]], columns: dict[str, str | None]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: list[tuple[str, Any]] = [
        (column, getattr(pa, _KINDS[column])() if column in _KINDS else pa.string()) for column in columns
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(kinds)), buffer)
    return buffer.getvalue()
