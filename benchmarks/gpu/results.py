"""What was measured, as rows of JSON in one file: each appended whole as soon as it is known, so a killed run keeps it.

Rows have a `kind` (render, export, parity, rows, switch, tests, failure), a `case` and a `side` where they belong to one,
and `at`, the second it was written. A later row of the same kind, case, side and batch replaces an earlier one.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

Row = dict[str, Any]
FILE = "results.jsonl"
# What makes two rows the same measurement.
_KEY = ("kind", "case", "side", "batch", "component", "output", "shapes", "switch", "rows", "job")


def append(scratch: Path, row: Row) -> None:
    """Write one row; safe beside other processes that do the same."""
    line = json.dumps({**row, "at": round(time.time())}) + "\n"
    descriptor = os.open(scratch / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def read(scratch: Path) -> list[Row]:
    """The rows, of equal ones the last; a line cut short by a kill is left out."""
    try:
        lines = (scratch / FILE).read_text().splitlines()
    except FileNotFoundError:
        return []
    rows: dict[tuple[Any, ...], Row] = {}
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        key = tuple(str(row.get(name)) for name in _KEY)
        rows.pop(key, None)
        rows[key] = row
    done = {row["job"] for row in rows.values() if row["kind"] == "done"}
    # A job that succeeded later is not a failure any more.
    return [row for row in rows.values() if not (row["kind"] == "failure" and row["job"] in done)]


def of_kind(rows: list[Row], kind: str, **wanted: Any) -> list[Row]:
    """The rows of a kind, whose entries are as wanted."""
    return [
        row for row in rows if row["kind"] == kind and all(row.get(name) == value for name, value in wanted.items())
    ]
