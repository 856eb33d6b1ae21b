"""Cells without a ledger, and a measure without fonts."""

import itertools
from pathlib import PurePosixPath

from latentpress.sheets.cells import DONE, Cell, Cells


class FakeMeasure:
    """Every character is half as wide as high, wide ones a whole; those that join others or mark them take nothing."""

    MM = 25.4 / 72

    def shown(self, text):
        return text

    def width(self, text, size, *, bold=False):
        wide = sum(0 if 0x300 <= ord(c) < 0x370 or ord(c) in (0x200D, 0xFE0F) else 1 + (ord(c) > 0x1100) for c in text)
        return wide * size * self.MM * (0.55 if bold else 0.5)

    def ascent(self, size, *, bold=False):
        return size * self.MM

    def line_height(self, size, *, bold=False):
        return 1.3 * size * self.MM


def made_cells(axes, state=lambda labels: (DONE, ""), skip=lambda labels: False, size=lambda labels: (64, 64)):
    """A cell for each combination of `axes`, {axis: texts}, but for what `skip` leaves out."""
    found = []
    for number, texts in enumerate(itertools.product(*axes.values())):
        labels = {"seed": "0", "steps": "30", "prompt": "a red kite", **dict(zip(axes, texts, strict=True))}
        if skip(labels):
            continue
        (become, reason), (width, height) = state(labels), size(labels)
        output = PurePosixPath(f"{number}.png")
        found.append(
            Cell(labels, become, output, width, height, "a red kite", job_hash=f"{number:064x}", reason=reason)
        )
    return Cells("lab", "ef" * 32, tuple(axes), found, "2026-11-27 22-00")
