"""The boxes of one chunk of a grid: headers, row labels, pictures, and marks where there is no picture."""

from collections.abc import Iterator

from latentpress.sheets.cells import DONE, EXCLUDED, Cell
from latentpress.sheets.geometry import Chunk, Geometry, Item, letter_width
from latentpress.sheets.grid import Grid, Key
from latentpress.sheets.heads import groups
from latentpress.sheets.key import mark_of
from latentpress.sheets.page import (
    AXIS,
    CENTER,
    COLUMN,
    GROUP,
    LEFT,
    NOTE,
    PANEL,
    RIGHT,
    ROW,
    Box,
    Frame,
    Mark,
    Picture,
    Rect,
    Rule,
)
from latentpress.sheets.scale import Sizes
from latentpress.sheets.style import Style

# Width of the rule between a group's label and its members, in points.
_RULE = 0.5


class Placing:
    """Places chunks of a leaf's geometry."""

    def __init__(self, grid: Grid, style: Style, sizes: Sizes, geometry: Geometry) -> None:
        self._grid, self._style, self._sizes, self._geometry = grid, style, sizes, geometry

    def boxes(self, chunk: Chunk, left: float, top: float) -> Iterator[Box]:
        """The boxes of `chunk`, whose page's content begins at (left, top)."""
        y = top + chunk.y
        rows = y + chunk.shelf.head
        for item in chunk.shelf.items:
            x = left + item.x
            yield from self._panel_title(item, x, y)
            if item.labelled:
                yield from self._row_labels(chunk, x, rows)
                x += self._sizes.rows.width
            yield from self._column_labels(item, x, rows)
            yield from self._cells(chunk, item, x, rows)

    def _panel_title(self, item: Item, x: float, y: float) -> Iterator[Box]:
        if not item.titled:
            return
        style, letter = self._style, item.panel.letter
        if letter:
            rect = Rect(x, y, style.strong.width(letter), style.strong.line_height)
            yield style.strong.placed([letter], rect, PANEL, letter)
        if item.title:
            width, height = style.label.extent(item.title)
            rect = Rect(x + letter_width(item.panel, style), y, width, height)
            yield style.label.placed(item.title, rect, PANEL, " ".join(item.title))

    def _row_labels(self, chunk: Chunk, x: float, y: float) -> Iterator[Box]:
        style, heads = self._style, self._sizes.rows
        shown = self._grid.rows[chunk.first : chunk.first + len(chunk.heights)]
        for level, width in enumerate(heads.levels):
            if heads.names[level]:
                height = style.strong.extent(heads.names[level])[1]
                rect = Rect(x, y - style.pad - height, width, height)
                yield style.strong.placed(heads.names[level], rect, AXIS, " ".join(heads.names[level]), RIGHT)
            outer = level == 0 and len(heads.levels) > 1
            spans = groups(shown) if outer else ((row[level], place, place + 1) for place, row in enumerate(shown))
            for text, start, end in spans:
                lines = heads.lines[level][text]
                first, last = y + chunk.starts[start], y + chunk.starts[end - 1] + chunk.heights[end - 1]
                height = style.label.extent(lines)[1]
                rect = Rect(x, first + (last - first - height) / 2, width, height)
                if lines:
                    yield style.label.placed(lines, rect, GROUP if outer else ROW, text, RIGHT)
                if outer:
                    at = x + width + heads.gaps[level] / 2
                    yield Rule(at, first, at, last, _RULE)
            x += width + heads.gaps[level]

    def _column_labels(self, item: Item, x: float, bottom: float) -> Iterator[Box]:
        style, segment = self._style, item.segment
        y = bottom - style.pad - segment.heads.height
        for text, lines, start, width in zip(
            (column[-1] if column else "" for column in segment.columns),
            segment.heads.lines,
            segment.starts,
            segment.widths,
            strict=True,
        ):
            rect = Rect(x + start, y, width, segment.heads.height)
            if not lines:
                continue
            if segment.heads.turned:
                yield style.label.turned(lines, rect, COLUMN, text)
            else:  # next to its pictures
                height = style.label.extent(lines)[1]
                rect = Rect(rect.x, rect.bottom - height, width, height)
                yield style.label.placed(lines, rect, COLUMN, text, CENTER)
        if segment.outer:
            y -= style.pad * 0.75
            for text, start, end, lines in segment.outer:
                first, last = x + segment.starts[start], x + segment.starts[end - 1] + segment.widths[end - 1]
                yield Rule(first, y, last, y, _RULE)
                height = style.label.extent(lines)[1]
                if lines:
                    rect = Rect(first, y - style.pad * 0.75 - height, last - first, height)
                    yield style.label.placed(lines, rect, GROUP, text, CENTER)
            y -= style.pad * 0.75 + segment.outer_height
        if item.name:
            width, height = style.strong.extent(item.name)
            wide = Rect(x, y - height, max(segment.width, width), height)
            align = CENTER if width <= segment.width else LEFT
            yield style.strong.placed(item.name, wide, AXIS, self._geometry.names[1], align)

    def _cells(self, chunk: Chunk, item: Item, x: float, y: float) -> Iterator[Box]:
        segment = item.segment
        for place, (height, down) in enumerate(zip(chunk.heights, chunk.starts, strict=True)):
            row = self._grid.rows[chunk.first + place]
            picture_height = self._sizes.pixels[1][chunk.first + place] * self._sizes.scale
            for number, (column, width, start) in enumerate(
                zip(segment.columns, segment.widths, segment.starts, strict=True)
            ):
                picture_width = self._sizes.pixels[0][segment.first + number] * self._sizes.scale
                area = Rect(
                    x + start + (width - picture_width) / 2,
                    y + down + (height - picture_height) / 2,
                    picture_width,
                    picture_height,
                )
                yield from self._cell(item, row, column, area)

    def _cell(self, item: Item, row: Key, column: Key, area: Rect) -> Iterator[Box]:
        cell = item.panel.cells.get((row, column))
        rect = area if cell is None else self._fitted(cell, area)
        if cell is not None and cell.state == DONE:
            yield Picture(rect, cell)
        else:
            yield self._mark(rect, cell)
        if self._style.border:
            yield Frame(area, self._style.border)

    def _fitted(self, cell: Cell, area: Rect) -> Rect:
        """The middle of `area`, at the sheet's scale or as large as it fits."""
        scale = self._sizes.scale
        if self._sizes.fit is not None:
            scale = min(area.width / cell.width, area.height / cell.height)
        width, height = min(cell.width * scale, area.width), min(cell.height * scale, area.height)
        return Rect(area.x + (area.width - width) / 2, area.y + (area.height - height) / 2, width, height)

    def _mark(self, rect: Rect, cell: Cell | None) -> Mark:
        """The mark of a place: in words where all of what it is fits, with as much of why as fits too."""
        state = EXCLUDED if cell is None else cell.state
        words, why = mark_of(cell)
        whole = f"{words}: {why}" if why else words
        inner = self._style.pad * 0.8
        width, height = rect.width - 2 * inner, rect.height - 2 * inner
        for setter in self._style.marks:
            lines = setter.wrapped(whole, width) if width > 0 else []
            smallest = setter is self._style.marks[-1]
            least = setter.extent(setter.wrapped(words, width))[1] if width > 0 else height + 1
            if width < setter.widest_word(words) or max(least, 0 if smallest else setter.extent(lines)[1]) > height:
                continue
            lines = setter.shortened(lines, width, height)
            if not lines or setter.extent(lines)[0] > width + 1e-6:
                continue
            used = setter.extent(lines)[1]
            place = Rect(rect.x + inner, rect.y + (rect.height - used) / 2, width, used)
            return Mark(rect, state, cell, setter.placed(lines, place, NOTE, whole, CENTER))
        return Mark(rect, state, cell, None)
