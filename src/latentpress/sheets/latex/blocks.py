"""What of a sheet stands in which figure of LaTeX's: panels in blocks of rows and columns that fit a page.

LaTeX alone knows its page and its font. What is settled here are numbers of rows and columns, by sizes that are about right.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from latentpress.sheets.caption import name_of
from latentpress.sheets.grid import Grid, Key, Leaf, Panel
from latentpress.sheets.latex.words import ems
from latentpress.sheets.page import MM_PER_PT

# In mm: the width of the class article's text, and what figures get of a page's height.
_WIDTH, _HEIGHT = 121.0, 170.0
# Between columns, in pt.
GAP = 2.0
# Lines to the size of their text; pictures are at least so many lines wide.
LEADING = 1.2
_LEAST_LINES = 1.3
# Heads of rows, in em, and at most so much of the width; turned heads of columns, in em.
_HEAD_LEAST, _HEAD_SHARE, TURNED_MOST = 2.0, 0.3, 12.0
# In mm: rather than be narrower than this for want of height, pictures go to another figure.
_LEAST = 15.0


@dataclass(frozen=True)
class Block:
    """Rows and columns of a panel. titled: whether its title stands above, for it is the panel's first in its figure."""

    panel: Panel
    rows: tuple[Key, ...]
    columns: tuple[Key, ...]
    titled: bool


class Blocks:
    """The blocks of a sheet. heads: how wide each head of rows is, in em; turned: whether heads of columns are."""

    def __init__(self, grid: Grid) -> None:
        sheet = grid.sheet
        self._grid, self._em = grid, sheet.points * MM_PER_PT
        width = sheet.width or _WIDTH
        most = max(_HEAD_LEAST, width * _HEAD_SHARE / self._em / max(1, len(sheet.rows)))
        self.heads = [
            min(most, max(_HEAD_LEAST, *(ems(row[place]) + 0.5 for row in grid.rows), ems(name_of(key, sheet)) * 1.2))
            for place, key in enumerate(sheet.rows)
        ]
        room = max(width - sum(self.heads) * self._em, self._line)
        gap = GAP * MM_PER_PT
        parts = math.ceil(len(grid.columns) / max(1, int(room / (_LEAST_LINES * self._line + gap))))
        self.across = math.ceil(len(grid.columns) / parts)
        self._width = room / self.across - gap
        words = [word for column in grid.columns for word in "".join(column[-1:]).split()]
        self.turned = max(map(ems, words), default=0.0) * self._em > self._width
        self.shapes = dict.fromkeys(grid.rows, 0.0)
        for leaf in grid.leaves:
            for panel in leaf.panels:
                for (row, _), cell in panel.cells.items():
                    self.shapes[row] = max(self.shapes[row], cell.height / cell.width)

    @cached_property
    def figures(self) -> list[list[list[Block]]]:
        """For each leaf its figures, each of blocks."""
        return [self._figures(leaf) for leaf in self._grid.leaves]

    @property
    def limit(self) -> tuple[float, float]:
        """Of the highest figure: the heights of its pictures, as parts of their width, and of the rest, in pt."""
        blocks = max(
            (figure for leaf in self.figures for figure in leaf), key=lambda one: self._height(one, self._width)
        )
        pictures = sum(self.shapes[row] for block in blocks for row in block.rows)
        return pictures, self._height(blocks, 0.0) / MM_PER_PT

    @property
    def _line(self) -> float:
        return self._em * LEADING

    def _figures(self, leaf: Leaf) -> list[list[Block]]:
        grid = self._grid
        parts = [grid.columns[at : at + self.across] for at in range(0, len(grid.columns), self.across)]
        whole = [Block(panel, grid.rows, part, not at) for panel in leaf.panels for at, part in enumerate(parts)]
        least = min(self._width, _LEAST)
        if self._height(whole, least) <= _HEIGHT:
            return [whole]
        figures: list[list[Block]] = [[]]
        for block in whole:
            if figures[-1] and self._height([*figures[-1], block], least) > _HEIGHT:
                figures.append([])
            rows = block.rows
            while self._height([block], least) > _HEIGHT and len(rows) > 1:
                # Equal parts, so that none is left with a single row.
                fit = max(1, sum(self._height([_of(block, rows[:n])], least) <= _HEIGHT for n in range(1, len(rows))))
                fit = math.ceil(len(rows) / math.ceil(len(rows) / fit))
                figures[-1].append(_of(block, rows[:fit]))
                figures.append([])
                rows = rows[fit:]
                block = _of(block, rows)
            figures[-1].append(block)
        return figures

    def _height(self, blocks: Sequence[Block], width: float) -> float:
        """About how high blocks are, in mm, with pictures `width` mm wide; 0: without them."""
        return sum(
            self._head(block)
            + sum(max(self.shapes[row] * width, self._row(row) if width else 0.0) for row in block.rows)
            for block in blocks
        )

    def _row(self, row: Key) -> float:
        lines = (math.ceil(ems(text) / head) for text, head in zip(row, self.heads, strict=True))
        return max(lines, default=0) * self._line

    def _head(self, block: Block) -> float:
        """The height of what stands above a block's pictures, and of the gaps between them."""
        labels = [ems("".join(column[-1:])) * self._em for column in block.columns]
        if self.turned:
            head = min(max(labels), TURNED_MOST * self._em)
        else:
            head = max(math.ceil(label / self._width) for label in labels) * self._line
        lines = block.titled + (bool(self._grid.sheet.columns) + len(self._grid.sheet.columns))
        return head + lines * self._line + len(block.rows) * MM_PER_PT


def _of(block: Block, rows: Sequence[Key]) -> Block:
    return Block(block.panel, tuple(rows), block.columns, block.titled)
