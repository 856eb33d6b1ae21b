"""The scale of a sheet's pictures, in millimetres a pixel, and how its panels stand: what a page holds decides."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from latentpress.errors import UsageError
from latentpress.sheets.caption import name_of, names_of, values_of
from latentpress.sheets.geometry import Geometry, Room
from latentpress.sheets.grid import Grid, Leaf, Panel
from latentpress.sheets.heads import RowHeads, row_heads
from latentpress.sheets.page import MM_PER_INCH
from latentpress.sheets.spec import MOST
from latentpress.sheets.style import Style

# Pixels of a screen: small pictures are enlarged by whole factors, so that labels fit over them, and large ones reduced.
CELL_MIN, CELL_MAX = 160, 512
# Pillow refuses to open more, and few programs open as much: PIL.Image.MAX_IMAGE_PIXELS, twice.
MAX_PIXELS = 178_956_970
# What width to height should be about, where nothing else decides.
_ASPECT = 1.4
# Pictures are reduced to so much of what the width allows, so that all fit one page; rather than that, there are more pages.
_LEAST_REDUCED = 0.5
_ACROSS = 8
_STEPS = 24


@dataclass(frozen=True)
class Limits:
    """What a page may have at most, of what paints it: pixels in all, and along one side; None: no limit."""

    pixels: int | None = MAX_PIXELS
    side: int | None = None


@dataclass
class Sizes:
    """The settled sizes of a sheet: of every leaf the same scale."""

    grid: Grid
    style: Style
    rows: RowHeads
    pixels: tuple[Sequence[int], Sequence[int]]
    names: tuple[str, str]
    room: Room
    scale: float = 0.0
    across: int = 1
    fit: tuple[int, int] | None = None

    def geometry(self, leaf: Leaf) -> Geometry:
        """How a leaf stands."""
        return self.at(leaf, self.scale, self.across, self.room)

    def at(self, leaf: Leaf, scale: float, across: int, room: Room) -> Geometry:
        """How a leaf would stand."""
        sheet = self.grid.sheet

        def title(panel: Panel) -> str:
            return values_of(sheet.panels, panel.key, sheet)

        return Geometry(self.grid, leaf, self.style, self.rows, scale, across, room, title, self.names, self.pixels)


def sizes_of(grid: Grid, style: Style, limits: Limits, taken: float) -> Sizes:
    """The sizes of a sheet within `limits`; taken: what title, caption and notes have of a page's height, in mm.

    Raises UsageError where a page as wide as was asked for has more pixels along a side than may be.
    """
    sheet = grid.sheet
    written = sheet.axis_names is not False
    called = {key: name_of(key, sheet) if written else "" for key in sheet.rows}
    names = ("", "") if not written else (names_of(sheet.rows, sheet), names_of(sheet.columns, sheet))
    rows = row_heads(sheet.rows, grid.rows, called, style)
    pixels, fit = _pixels(grid)
    sizes = Sizes(grid, style, rows, pixels, names, Room(math.inf, math.inf), fit=fit)
    if sheet.width is None:
        _as_large_as_pictures(sizes, limits, taken)
    else:
        _as_wide_as_asked(sizes, sheet.width, limits, taken)
    return sizes


def _pixels(grid: Grid) -> tuple[tuple[list[int], list[int]], tuple[int, int] | None]:
    """The widest picture of each column and the highest of each row; and the largest of all, if each is fitted to that."""
    columns = dict.fromkeys(grid.columns, 1)
    rows = dict.fromkeys(grid.rows, 1)
    for leaf in grid.leaves:
        for panel in leaf.panels:
            for (row, column), cell in panel.cells.items():
                columns[column], rows[row] = max(columns[column], cell.width), max(rows[row], cell.height)
    if grid.sheet.one_scale:
        return (list(columns.values()), list(rows.values())), None
    most = max(columns.values()), max(rows.values())
    return ([most[0]] * len(columns), [most[1]] * len(rows)), most


def _largest(grid: Grid) -> Leaf:
    return max(grid.leaves, key=lambda leaf: len(leaf.panels))


def _as_large_as_pictures(sizes: Sizes, limits: Limits, taken: float) -> None:
    """Pixel by pixel, or as a screen shows them well; smaller, then on several pages, where one would hold too much."""
    sheet, leaf = sizes.grid.sheet, _largest(sizes.grid)
    dot = MM_PER_INCH / sheet.resolution
    longest = max(*sizes.pixels[0], *sizes.pixels[1])
    factor = 1.0
    if sheet.dpi is None:
        factor = max(1, CELL_MIN // longest) if longest <= CELL_MAX else CELL_MAX / longest
    margins = 2 * sizes.style.margin
    side = _side(limits, dot)
    while True:
        best = min((sizes.at(leaf, factor * dot, across, sizes.room) for across in _candidates(leaf)), key=_shape)
        width, height = best.width + margins, best.height + margins + taken
        area = width * height / dot**2
        if (area <= (limits.pixels or math.inf) and max(width, height) <= side) or factor <= 1:
            break
        factor -= 1
    sizes.scale, sizes.across = best.scale, best.across
    if area <= (limits.pixels or math.inf) and max(width, height) <= side:
        if sheet.height is not None:
            sizes.room = Room(math.inf, sheet.height - margins - taken)
        return
    # As wide as a square of the most pixels at most, and all pages about equally wide; then as high as that leaves.
    across = min(width, side, math.sqrt(limits.pixels) * dot if limits.pixels else side)
    parts = math.ceil(width / across)
    across = min(across, width / parts + max(sizes.pixels[0]) * best.scale + sizes.rows.width + margins)
    down = min(side, limits.pixels * dot**2 / across if limits.pixels else side, sheet.height or math.inf)
    sizes.room = Room(across - margins, down - margins - taken)


def _as_wide_as_asked(sizes: Sizes, width: float, limits: Limits, taken: float) -> None:
    sheet, leaf, style = sizes.grid.sheet, _largest(sizes.grid), sizes.style
    dot, margins = MM_PER_INCH / sheet.resolution, 2 * style.margin
    side = _side(limits, dot)
    if width > side + 1e-6:
        raise UsageError(
            f"the sheet is {width:g} mm wide, which at {sheet.resolution:g} dpi is {width / dot:,.0f} pixels, and at most "
            f"{side / dot:,.0f} are possible; lower the dpi, or choose another format"
        )
    down = min(sheet.height or math.inf, side, limits.pixels * dot**2 / width if limits.pixels else math.inf)
    inner = Room(width - margins, down - margins - taken)
    if inner.width - sizes.rows.width < style.label.line_height:
        raise UsageError(f"the sheet is {width:g} mm wide, and its row labels leave no room; make it wider")
    if inner.height < style.label.line_height * 4:
        raise UsageError(f"a page at most {down:g} mm high has no room for title and caption; shorten them")
    found = [_within(sizes, leaf, across, inner) for across in _candidates(leaf)]
    best = min((one for one in found if one is not None), key=_shape, default=None)
    if best is None:  # so many columns that they go on below
        best = _cut(sizes, leaf, inner)
    sizes.scale, sizes.across, sizes.room = best.scale, best.across, inner


def _within(sizes: Sizes, leaf: Leaf, across: int, room: Room) -> Geometry | None:
    """`across` panels beside each other, their pictures as large as the width allows, or, if that is not much smaller, as
    makes them fit one page; None where labels alone are too wide."""
    wide = Room(math.inf, room.height)

    def fits(scale: float) -> bool:
        return sizes.at(leaf, scale, across, wide).width <= room.width

    if not fits(0.0):
        return None
    by_width = _most(fits, room.width)
    found = sizes.at(leaf, by_width, across, room)
    if len(found.pages) == 1 and found.height <= room.height:
        return found

    def one_page(scale: float) -> bool:
        trial = sizes.at(leaf, scale, across, room)
        return len(trial.pages) == 1 and trial.height <= room.height

    least = _LEAST_REDUCED * by_width
    if one_page(least):
        return sizes.at(leaf, _most(one_page, by_width, least), across, room)
    # At least one row fits a page, whatever that takes.
    return sizes.at(
        leaf, _most(lambda scale: sizes.at(leaf, scale, across, room).height <= room.height, by_width), across, room
    )


def _cut(sizes: Sizes, leaf: Leaf, room: Room) -> Geometry:
    """One panel below another, columns as narrow as a line of text, grown to fill what the cut leaves."""
    least = sizes.style.label.line_height / max(sizes.pixels[0])
    shelves = len(sizes.at(leaf, least, 1, room).shelves)

    def same(scale: float) -> bool:
        return len(sizes.at(leaf, scale, 1, room).shelves) == shelves

    return sizes.at(leaf, _most(same, least * 4, least), 1, room)


def _most(good: Callable[[float], bool], high: float, low: float = 0.0) -> float:
    """The largest value up to `high` that is good, where `low` is and what is too large is not."""
    if good(high):
        return high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if good(middle) else (low, middle)
    return low


def _candidates(leaf: Leaf) -> range:
    return range(1, min(len(leaf.panels), _ACROSS) + 1)


def _shape(geometry: Geometry) -> tuple[int, float]:
    """Few pages first, then about as high as wide."""
    return len(geometry.pages), abs(math.log(max(geometry.width, 1e-3) / max(geometry.height, 1e-3) / _ASPECT))


def _side(limits: Limits, dot: float) -> float:
    """The longest side of a page in mm."""
    return min(MOST, limits.side * dot if limits.side else math.inf)
