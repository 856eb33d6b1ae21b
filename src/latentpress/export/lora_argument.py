"""Reads FILE[:SCALE]. Not in `lora`, so that a mistyped scale is refused before torch is loaded."""

import math
from pathlib import Path

from latentpress.errors import LoraError


def parse_lora(text: str) -> tuple[Path, float]:
    """FILE[:SCALE], the scale 1 if not given; a name that ends like a scale is taken whole if the file is there.

    Raises LoraError.
    """
    name, colon, tail = text.rpartition(":")
    if not colon or Path(text).exists():
        return Path(text), 1.0
    try:
        scale = float(tail)
    except ValueError:
        return Path(text), 1.0
    if not math.isfinite(scale) or not name:
        raise LoraError(f"{text}: the scale {tail} is not a number to fuse at; e.g. {name or 'FILE'}:0.8")
    return Path(name), scale
