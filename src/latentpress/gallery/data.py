"""What the page knows: the cells of one or more folders as a script that calls `latentpressGallery` with one object.

A page that was opened from the disk may load scripts and pictures beside it, and nothing else; so the data are a script.
Texts stand once, in a list, and cells are rows of places in it. Reads no file and knows nothing of how it is shown.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from latentpress.errors import one_line
from latentpress.gallery.apart import Apart, apart
from latentpress.sheets.cells import DONE, EXCLUDED, STATES, Cell, Cells

# The axis that tells folders apart, where there are several.
FOLDER = "folder"
# Pixels of the longest side of thumbnails: what a cell of usual size shows, and what the largest shows, or the usual one on
# a screen of two dots a pixel. A browser keeps up to a thousand decoded, 4 bytes a pixel: 100 MiB of the small ones.
SIDES = (160, 320)
SHOWN_STATES = tuple(state for state in STATES if state != EXCLUDED)


@dataclass(frozen=True)
class Source:
    """A folder that the gallery shows. name: what the page calls it; rows, columns: the axes of its sheet, "" where it has
    none; faults: output -> why a picture that is done cannot be shown."""

    folder: Path
    name: str
    cells: Cells
    rows: str = ""
    columns: str = ""
    faults: Mapping[str, str] | None = None


class _Texts:
    """Texts in order of appearance, each once."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def place(self, text: str) -> int:
        return self.places.setdefault(text, len(self.places))


def what_differs(sources: Sequence[Source]) -> Apart:
    """What the folders have in common, and what only some have; of one folder, nothing is said."""
    if len(sources) < 2:
        return Apart((), ())
    axes = dict.fromkeys(axis for source in sources for axis in source.cells.axes)
    return apart(
        {
            axis: {
                one_line(source.name): list(
                    dict.fromkeys(cell.labels[axis] for cell in source.cells.cells if axis in cell.labels)
                )
                for source in sources
            }
            for axis in axes
        }
    )


def gallery_script(sources: Sequence[Source], page: Path) -> bytes:
    """The script for a page in the folder `page`, from which pictures are linked: ASCII, the same for the same cells."""
    texts = _Texts()
    keys = list(dict.fromkeys(key for source in sources for cell in source.cells.cells for key in cell.labels))
    axes = list(dict.fromkeys(axis for source in sources for axis in source.cells.axes if axis in keys))
    folder_key = _free(FOLDER, keys) if len(sources) > 1 else ""
    first = sources[0]
    differs = what_differs(sources)
    figures = list(dict.fromkeys(name for source in sources for name in source.cells.figures))
    rows = [
        _row(cell, source, number, keys, figures, texts)
        for number, source in enumerate(sources)
        for cell in source.cells.cells
    ]
    data = {
        "version": 1,
        "thumbnails": list(SIDES),
        "title": " / ".join(dict.fromkeys(source.cells.name or source.name for source in sources)),
        "folders": [
            {"name": one_line(source.name), "root": _root(source.folder, page), "plan": source.cells.plan_hash}
            for source in sources
        ],
        "folderKey": folder_key,
        "keys": keys,
        "axes": axes,
        "figures": figures,
        "common": [axis for axis in axes if axis in differs.common],
        "apart": differs.said,
        "rows": first.rows if first.rows in axes else "",
        "columns": first.columns if first.columns in axes else "",
        "states": list(SHOWN_STATES),
        "texts": list(texts.places),
        "cells": rows,
    }
    # What is no ASCII is escaped, U+2028 and halves of surrogate pairs too, and so is what could end a script.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return f"latentpressGallery({text});\n".encode("ascii")


def thumbnails(pixel_sha256: str, width: int, height: int) -> dict[int, str]:
    """Side -> name of a thumbnail below the gallery's folder, of the pixels alone, so the same pixels are made small once.

    A picture that is no larger than the small one has no other.
    """
    sides = SIDES[:1] if max(width, height) <= SIDES[0] else SIDES
    return {side: f"thumbs/{pixel_sha256[:2]}/{pixel_sha256}-{side}.webp" for side in sides}


def _row(
    cell: Cell, source: Source, number: int, keys: Sequence[str], figures: Sequence[str], texts: _Texts
) -> list[object]:
    """Folder, state, output, URL of the output, hash of the pixels, job hash, width, height, seconds, prompt, negative
    prompt, reason, seed, alt text, what losses did, then a label for each key, -1 where it has none.

    What losses did is a number or null for each of `figures`, and nothing where a cell has none.

    The seed is a text: JavaScript's numbers end at 2^53.
    """
    output = str(cell.output)
    fault = (source.faults or {}).get(output, "") if cell.state == DONE else ""
    state = SHOWN_STATES.index("missing" if fault else cell.state)
    return [
        number,
        state,
        texts.place(output),
        texts.place(quote(os.fsencode(output))),
        "" if fault else cell.pixel_sha256,
        cell.job_hash,
        cell.width,
        cell.height,
        round(cell.seconds, 3),
        texts.place(cell.prompt),
        texts.place(cell.negative_prompt),
        texts.place(fault or cell.reason),
        texts.place(str(cell.seed)),
        texts.place(cell.alt),
        [cell.figures.get(name) for name in figures] if cell.figures else 0,
        *(texts.place(cell.labels[key]) if key in cell.labels else -1 for key in keys),
    ]


def _root(folder: Path, page: Path) -> str:
    """The way from the page to the pictures of `folder`, as a URL that ends with a slash."""
    return quote(os.fsencode(os.path.relpath(folder.resolve(), page.resolve()))) + "/"


def _free(name: str, keys: Sequence[str]) -> str:
    while name in keys:
        name = f"{name} "
    return name
