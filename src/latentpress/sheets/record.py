"""What a sheet says of itself, to be embedded in it: the plan, the sheet as it was asked for, and each cell's hashes."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

from latentpress.sheets.cells import Cells
from latentpress.sheets.page import Page
from latentpress.sheets.spec import Sheet
from latentpress.version import __version__

# The keyword of a PNG's text; documents have their own way.
KEYWORD = "latentpress-sheet"
_SUFFIXES, _KINDS = (".png", ".tif", ".webp"), ("PNG", "TIFF", "WEBP")
# It rises where a key goes or changes its meaning.
RECORD_VERSION = 1


def record(cells: Cells, sheet: Sheet, pages: Sequence[Page]) -> str:
    """The record of `pages` of a sheet as JSON: the same for the same pictures and words, whenever it is made."""
    asked = {
        key: value for key, value in asdict(sheet).items() if value != Sheet.__dataclass_fields__[key].default and value
    }
    shown: dict[str, dict[str, Any]] = {}
    for page in pages:
        for cell in page.cells:
            known = {"job_hash": cell.job_hash, "pixel_sha256": cell.pixel_sha256, "reason": cell.reason}
            shown[str(cell.output)] = {"state": cell.state} | {key: value for key, value in known.items() if value}
    said: dict[str, Any] = {
        "version": RECORD_VERSION,
        "latentpress": __version__,
        "name": cells.name,
        "plan_hash": cells.plan_hash,
        "sheet": asked,
        "pages": [page.number for page in pages],
        "of": pages[0].count if pages else 0,
        "cells": shown,
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def is_sheet(path: Path) -> bool:
    """Whether the PNG, TIFF or WebP at `path` says that it is a sheet; its pixels are not read."""
    if path.suffix.lower() not in _SUFFIXES:
        return False
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=_KINDS) as image:
            if isinstance(image, PngImagePlugin.PngImageFile):
                return KEYWORD in image.info
            said = json.loads(str(image.getexif().get(ExifTags.Base.Software, "")))
            return isinstance(said, dict) and {"plan_hash", "sheet", "cells"} <= said.keys()
    except Exception:  # whatever a damaged file makes of a reader; it is no sheet then
        return False
