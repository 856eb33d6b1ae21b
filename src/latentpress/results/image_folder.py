"""metadata.jsonl in an output folder, with which Hugging Face's `datasets` loads its pictures: load_dataset("imagefolder").

datasets takes the kind of a column from the first lines, through Arrow's reader of JSON. So every cell of a column is of one
kind and none is null; and a seed is text, for Arrow makes a rounded number of one from 2^63 on. Pictures without a line
(the contact sheet) and hidden folders are not loaded.
"""

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentpress.batch.state.status import DONE
from latentpress.errors import UsageError
from latentpress.files import replacing
from latentpress.results.rows import UNRECORDED, result_rows
from latentpress.results.tables import NESTED, json_line, json_text

METADATA_NAME = "metadata.jsonl"
# The last key of every line: the sha256 of all lines without it, by which a file that nobody changed is known.
_KEY = "latentpress"
_END = re.compile(rf', "{_KEY}": "([0-9a-f]{{64}})"\}}\n$'.encode())
_TEXT = (
    *("prompt", "negative_prompt", "seed", "sampler", "model", "source_sha256", "bundle_content", "job_hash"),
    *("pixel_sha256", "file_sha256", "engine"),
)
# By names with these words datasets sorts pictures into splits, each of which wants a metadata.jsonl of its own.
_SPLITS = "train|training|validation|valid|dev|val|test|testing|eval|evaluation"
_SPLIT = re.compile(rf"(^|[-._ 0-9/])({_SPLITS})[-._ 0-9/]")


@dataclass(frozen=True)
class ImageFolder:
    """What was written. pictures: how many lines; left_out: rows that failed, are not there, or do not say how they were
    made; splits: a picture whose name makes datasets sort the folder into splits, None where none does."""

    path: Path
    pictures: int
    left_out: int
    splits: str | None


def write_image_folder(folder: Path | str) -> ImageFolder:
    """Write metadata.jsonl into an output folder.

    Raises UsageError where one is there that is not as this function left it, or where there is no picture to list, and as
    `result_rows` does.
    """
    path = Path(folder) / METADATA_NAME
    rows = result_rows(folder)
    _refuse(path)
    pictures = left_out = 0
    splits: str | None = None
    digest = hashlib.sha256()
    with replacing(path) as temporary, tempfile.TemporaryFile() as lines:
        for row in rows:
            if row["status"] not in (DONE, UNRECORDED) or not _complete(row):
                left_out += 1
                continue
            line = json_line(_line(row))[:-1].encode() + b"\n"
            digest.update(line)
            lines.write(line)
            pictures += 1
            splits = splits or (row["file_name"] if _SPLIT.search(row["file_name"]) else None)
        if not pictures:
            raise UsageError(f"{folder}: no picture is there that says how it was made; render it first")
        lines.seek(0)
        end = f', "{_KEY}": "{digest.hexdigest()}"}}\n'.encode()
        with temporary.open("xb") as stream:
            stream.writelines(line[:-1] + end for line in lines)
        _refuse(path)
    return ImageFolder(path, pictures, left_out, splits)


def may_replace(path: Path) -> bool:
    """Whether nothing is at `path`, or a metadata.jsonl that `write_image_folder` wrote and nobody changed since."""
    if not os.path.lexists(path):
        return True
    if not path.is_file() or path.is_symlink():
        return False
    digest, said = hashlib.sha256(), set[bytes]()
    try:
        with path.open("rb") as stream:
            for line in stream:
                if (end := _END.search(line)) is None:
                    return False
                said.add(end[1])
                digest.update(line[: end.start()] + b"\n")
    except OSError:
        return False
    return said == {digest.hexdigest().encode()}


def _refuse(path: Path) -> None:
    if not may_replace(path):
        raise UsageError(
            f"{path}: exists already and is not as latentpress wrote it; move it away, then run this again"
        )


def _complete(row: dict[str, Any]) -> bool:
    wanted = ("prompt", "seed", "sampler", "steps", "guidance_scale", "width", "height")
    readable = row["file_name"].encode(errors="replace").decode() == row["file_name"]  # Arrow reads UTF-8 alone
    return readable and all(row[name] is not None for name in wanted)


def _line(row: dict[str, Any]) -> dict[str, Any]:
    text = {name: "" if row[name] is None else str(row[name]) for name in _TEXT}
    whole = {name: row[name] for name in ("steps", "width", "height")}
    nested = {name: json_text(row[name]) or "" for name in NESTED}
    return {"file_name": row["file_name"], **text, **whole, "guidance_scale": float(row["guidance_scale"]), **nested}
