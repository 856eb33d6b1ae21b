"""How large the cells of a grid are and where they break: columns into segments, rows into chunks, chunks onto pages.

Widths and heights alone, no boxes. One scale holds for all pictures of a sheet, unless each is fitted to its cell.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from latentpress.sheets.grid import Grid, Key, Leaf, Panel
from latentpress.sheets.heads import ColumnHeads, RowHeads, column_heads, groups
from latentpress.sheets.style import REPEAT_MM, Style


@dataclass(frozen=True)
class Segment:
    """Columns that stand side by side. widths: of each, in mm; starts: where each begins, from the segment's first."""

    first: int
    columns: tuple[Key, ...]
    widths: tuple[float, ...]
    starts: tuple[float, ...]
    heads: ColumnHeads
    outer: tuple[tuple[str, int, int, list[str]], ...]
    outer_height: float

    @property
    def width(self) -> float:
        return self.starts[-1] + self.widths[-1]


@dataclass(frozen=True)
class Item:
    """A panel's segment on a shelf. x: where its row labels, or without them its pictures, begin; name: the lines of its
    columns' axes."""

    panel: Panel
    segment: Segment
    x: float
    labelled: bool
    titled: bool
    title: list[str]
    name: list[str]


@dataclass(frozen=True)
class Shelf:
    """Items side by side, whose rows are level. head: height of what stands above the first row."""

    items: tuple[Item, ...]
    width: float
    title_height: float
    head: float


@dataclass(frozen=True)
class Chunk:
    """Rows of a shelf on a page. y: of its top, from the page's content; heights: of the rows; starts: from the first."""

    shelf: Shelf
    y: float
    first: int
    heights: tuple[float, ...]
    starts: tuple[float, ...]

    @property
    def rows_height(self) -> float:
        return self.starts[-1] + self.heights[-1]

    @property
    def bottom(self) -> float:
        return self.y + self.shelf.head + self.rows_height


@dataclass(frozen=True)
class Room:
    """What a page has for its grid, in mm: across, and down between what stands above and below."""

    width: float
    height: float


class Geometry:
    """A leaf's panels at `scale` (mm a pixel), at most `across` side by side, within `room`."""

    def __init__(
        self,
        grid: Grid,
        leaf: Leaf,
        style: Style,
        rows: RowHeads,
        scale: float,
        across: int,
        room: Room,
        panel_title: Callable[[Panel], str],
        names: tuple[str, str],
        pixels: tuple[Sequence[int], Sequence[int]],
    ) -> None:
        """names: of the rows' axes and the columns', "" where not written; pixels: of each column, of each row."""
        self.scale, self.across = scale, across
        self._grid, self._leaf, self._style, self._rows, self._room = grid, leaf, style, rows, room
        self._title, self.names, self._pixels = panel_title, names, pixels
        self._page = math.inf if grid.sheet.width is None else grid.sheet.width - 2 * style.margin
        self.row_heights = [
            max([pixels[1][place] * scale, *(self._label_height(level, row) for level in range(len(row))[-1:])])
            for place, row in enumerate(grid.rows)
        ]

    @cached_property
    def shelves(self) -> list[Shelf]:
        """The panels' segments, as many side by side as there is room for."""
        segments = self._segments()
        shelves: list[Shelf] = []
        pending: list[tuple[Panel, Segment, bool]] = []
        for panel in self._leaf.panels:
            for number, segment in enumerate(segments):
                titled = number == 0
                beside = len({one.key for one, _, _ in pending} | {panel.key}) <= self.across and not self._grid.wrapped
                trial = [*pending, (panel, segment, titled)]
                if pending and not (beside and self._shelf(trial).width <= self._room.width + 1e-6):
                    shelves.append(self._shelf(pending))
                    trial = trial[-1:]
                pending = trial
        return [*shelves, self._shelf(pending)]

    @property
    def width(self) -> float:
        return max(shelf.width for shelf in self.shelves)

    @cached_property
    def pages(self) -> list[list[Chunk]]:
        """The shelves' rows on pages, headers repeated wherever they go on."""
        pages: list[list[Chunk]] = [[]]
        y = 0.0
        for shelf in self.shelves:
            first = 0
            while first < len(self.row_heights):
                if pages[-1]:
                    y += self._style.panel_gap
                # Balanced, so that the last header does not stand above a single row.
                left = _extent(self._grid.rows[first:], self._heights(first, len(self.row_heights)), self._style)
                again = left / max(1, round(left / REPEAT_MM)) + max(self.row_heights) / 2
                chunk = self._chunk(shelf, first, y, min(self._room.height, y + shelf.head + again))
                if chunk is None or (chunk.bottom > self._room.height + 1e-6 and pages[-1]):
                    pages.append([])
                    y = 0.0
                    continue
                pages[-1].append(chunk)
                first += len(chunk.heights)
                y = chunk.bottom
        return pages

    @property
    def height(self) -> float:
        """Of the highest page."""
        return max(page[-1].bottom for page in self.pages)

    def _chunk(self, shelf: Shelf, first: int, y: float, bottom: float) -> Chunk | None:
        """As many rows from `first` as fit above `bottom`, at least one; None where not even that fits a page begun."""
        best: Chunk | None = None
        for last in range(first + 1, len(self.row_heights) + 1):
            heights = self._heights(first, last)
            starts = _starts(self._grid.rows[first:last], heights, self._style)
            chunk = Chunk(shelf, y, first, tuple(heights), tuple(starts))
            if best is not None and chunk.bottom > bottom + 1e-6:
                return best
            if best is None and y and chunk.bottom > self._room.height + 1e-6:
                return None
            best = chunk
        return best

    def _heights(self, first: int, last: int) -> list[float]:
        """The heights of rows, those of a group stretched where its label is higher than they are."""
        heights = self.row_heights[first:last]
        rows = self._grid.rows[first:last]
        for text, start, end in groups(rows):
            have = sum(heights[start:end]) + self._style.gap * (end - start - 1)
            lacking = self._style.label.extent(self._rows.lines[0][text])[1] - have
            if lacking > 0:
                heights[end - 1] += lacking
        return heights

    def _label_height(self, level: int, row: Key) -> float:
        return self._style.label.extent(self._rows.lines[level][row[level]])[1]

    def _segments(self) -> list[Segment]:
        """All columns, cut where a page ends or labels would be too far away."""
        room = self._room.width - self._rows.width
        widths = self.column_widths(self.scale)
        whole = _extent(self._grid.columns, widths, self._style)
        # Equal parts, so that none is left with a single column.
        parts = max(1, -int(-whole // room) if whole > room + 1e-6 else 1, round(whole / REPEAT_MM))
        per = -(-len(widths) // parts)
        if self._grid.wrapped and parts == 1 and self._style.screen:
            per = max(1, round((len(widths) * 1.4) ** 0.5)) if len(widths) > 6 else len(widths)
        while per > 1 and _extent(self._grid.columns[:per], widths[:per], self._style) > room + 1e-6:
            per -= 1
        return [self._segment(first, widths[first : first + per]) for first in range(0, len(widths), per)]

    def column_widths(self, scale: float) -> list[float]:
        """The widths of columns at `scale`: of their pictures, or of one line of text where that is more."""
        return [max(pixels * scale, self._style.label.line_height) for pixels in self._pixels[0]]

    def _segment(self, first: int, widths: Sequence[float]) -> Segment:
        columns = self._grid.columns[first : first + len(widths)]
        widths = list(widths)
        for text, start, end in groups(columns):  # a group is at least as wide as the widest character above it
            have = sum(widths[start:end]) + self._style.gap * (end - start - 1)
            widths[end - 1] += max(0.0, self._style.label.least(text) - have)
        starts = _starts(columns, widths, self._style)
        outer: list[tuple[str, int, int, list[str]]] = []
        for text, start, end in groups(columns):
            span = starts[end - 1] + widths[end - 1] - starts[start]
            outer.append((text, start, end, self._style.label.wrapped(text, span)))
        height = max((self._style.label.extent(lines)[1] for *_, lines in outer), default=0.0)
        heads = column_heads(columns, widths, self._style)
        return Segment(first, columns, tuple(widths), tuple(starts), heads, tuple(outer), height)

    def _shelf(self, items: Sequence[tuple[Panel, Segment, bool]]) -> Shelf:
        style = self._style
        placed: list[Item] = []
        x = since = width = 0.0
        for number, (panel, segment, titled) in enumerate(items):
            if number:
                x += style.panel_gap
            labelled = number == 0 or since + segment.width > REPEAT_MM
            since = segment.width if labelled else since + segment.width
            before = self._rows.width if labelled else 0.0
            letter = letter_width(panel, style)
            title = (
                style.label.wrapped(self._title(panel), max(before + segment.width - letter, style.em * 4))
                if titled
                else []
            )
            wide = max(before + segment.width, letter + style.label.extent(title)[0])
            # Nothing stands to the right of the last one, so that a word of its name may go on there.
            last = number == len(items) - 1
            name = self._name(max(segment.width, wide - before), self._page - x - before if last else 0.0)
            placed.append(Item(panel, segment, x, labelled, titled, title, name))
            width = max(x + wide, x + before + style.strong.extent(name)[0])
            x += wide
        least = style.strong.line_height if any(item.titled and item.panel.letter for item in placed) else 0.0
        title_height = max([least, *(style.label.extent(item.title)[1] for item in placed)])
        title_height += style.pad if title_height else 0.0
        name = max(style.strong.extent(one.name)[1] for one in placed)
        head = max(
            name + (one.outer_height + style.pad * 1.5 if one.outer else 0.0) + one.heads.height
            for one in (item.segment for item in placed)
        )
        head = max(head, self._rows.names_height * style.strong.line_height)
        return Shelf(tuple(placed), width, title_height, title_height + head + (style.pad if head else 0.0))

    def _name(self, width: float, most: float) -> list[str]:
        """The name of the columns' axes in lines over pictures that are so wide; up to `most` for its widest word."""
        name, strong = self.names[1], self._style.strong
        return strong.wrapped(name, max(width, min(most, strong.widest_word(name)))) if name else []


def letter_width(panel: Panel, style: Style) -> float:
    """The room that a panel's letter takes before its title."""
    return style.strong.width(panel.letter) + style.em * 0.6 if panel.letter else 0.0


def _starts(entries: Sequence[Key], sizes: Sequence[float], style: Style) -> list[float]:
    """Where each of `entries` begins: a gap apart, and between groups more."""
    breaks = {start for _, start, _ in groups(entries)}
    starts: list[float] = []
    place = 0.0
    for number, size in enumerate(sizes):
        if number:
            place += style.group_gap if number in breaks else style.gap
        starts.append(place)
        place += size
    return starts


def _extent(entries: Sequence[Key], sizes: Sequence[float], style: Style) -> float:
    return _starts(entries, sizes, style)[-1] + sizes[-1]
