"""What a sheet says of itself, to be embedded in it: the plan, the sheet as it was asked for, and each cell's hashes."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from latentpress.sheets.cells import Cells
from latentpress.sheets.page import Page
from latentpress.sheets.spec import Sheet
from latentpress.version import __version__

# The keyword of a PNG's text; documents have their own way.
KEYWORD = "latentpress-sheet"
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
