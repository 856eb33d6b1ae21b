"""Result rows as JSON lines and as Parquet. Knows what a column is, and not where its values come from."""

import json
import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from latentpress.errors import UsageError
from latentpress.files import replacing
from latentpress.results.rows import COLUMNS

# Columns that hold lists and maps: JSON's own in JSON lines, JSON text elsewhere, since their keys differ from row to row.
NESTED = ("losses", "guided", "drift", "labels", "request")
_WHOLE = ("steps", "width", "height", "attempts")
_REAL = ("guidance_scale", "seconds")
_BATCH = 1000


def json_lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Each row as one line of JSON, without the line's end. Seeds are whole numbers, up to 2^64-1."""
    yield from map(json_line, rows)


def json_line(value: object) -> str:
    """`value` as one line of JSON that UTF-8 can hold: a name of other bytes, which it cannot, is written in escapes."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False)
    return text


def write_table(rows: Iterable[dict[str, Any]], path: Path, *, replace: bool = False) -> int:
    """Write `rows` to a .jsonl or .parquet file, whole or not at all; returns how many there were.

    replace: whether a file that is there already goes. Raises UsageError for one that may not, and for another kind of
    file, and ModuleNotFoundError for .parquet without pyarrow; nothing is read from `rows` then.
    """
    check_target(path, replace=replace)
    with replacing(path) as temporary:
        if path.suffix.lower() == ".parquet":
            count = _write_parquet(rows, temporary)
        else:
            count = 0
            with temporary.open("x", encoding="utf-8") as stream:
                for line in json_lines(rows):
                    stream.write(line + "\n")
                    count += 1
        check_target(path, replace=replace)
    return count


def check_target(path: Path, *, replace: bool) -> None:
    """Raise UsageError where `write_table` could not write, ModuleNotFoundError where it lacks a package."""
    if path.suffix.lower() not in (".jsonl", ".parquet"):
        raise UsageError(f"-o {path}: the table is JSON lines or Parquet; give a name that ends in .jsonl or .parquet")
    if os.path.lexists(path) and not (replace and path.is_file()):
        raise UsageError(f"-o {path}: exists already; give another name, or --replace to write over a file")
    if not path.parent.is_dir():
        raise UsageError(f"-o {path}: there is no folder {path.parent}; make it first")
    if path.suffix.lower() == ".parquet":
        import pyarrow  # noqa: F401  # pyright: ignore[reportUnusedImport]


def json_text(value: Any) -> str | None:
    """A list or a map as JSON text; None stays None."""
    return None if value is None else json_line(value)


def _write_parquet(rows: Iterable[dict[str, Any]], path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: dict[str, Any] = dict.fromkeys(COLUMNS, pa.string())
    kinds |= dict.fromkeys(_WHOLE, pa.int64()) | dict.fromkeys(_REAL, pa.float64())
    kinds |= {"seed": pa.uint64(), "finished": pa.timestamp("ms", tz="UTC")}
    schema, count = pa.schema(list(kinds.items())), 0
    with pq.ParquetWriter(path, schema) as writer:
        left = iter(rows)
        while some := list(islice(left, _BATCH)):
            table = pa.Table.from_pylist([_flat(row) for row in some], schema=schema)
            writer.write_table(table)
            count += len(some)
    return count


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    nested = {name: json_text(row[name]) for name in NESTED}
    name = row["file_name"].encode(errors="backslashreplace").decode()
    return row | nested | {"file_name": name, "finished": row["finished"] and datetime.fromisoformat(row["finished"])}
