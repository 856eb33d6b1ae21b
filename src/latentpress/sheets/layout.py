"""From cells and a sheet to pages of boxes: pure, reads no picture and opens no file. Painters set what it places.

Sizes are settled here (scale.py, geometry.py), then every label, picture and mark gets its rectangle.
"""

from dataclasses import dataclass

from latentpress.sheets.caption import alt_of, check_words, filled, notes, values_of
from latentpress.sheets.cells import DONE, Cells
from latentpress.sheets.geometry import Chunk, Geometry
from latentpress.sheets.grid import Grid, Leaf, grid_of
from latentpress.sheets.key import key_of, words_of
from latentpress.sheets.lines import Typesetter
from latentpress.sheets.page import CAPTION, NOTE, TITLE, Box, Mark, Measure, Page, Rect
from latentpress.sheets.placing import Placing
from latentpress.sheets.scale import Limits, Sizes, sizes_of
from latentpress.sheets.spec import Sheet
from latentpress.sheets.style import Style, style_of


def layout(cells: Cells, sheet: Sheet, measure: Measure, limits: Limits | None = None) -> list[Page]:
    """The pages of `sheet`, numbered through; limits: of what the pages are painted as.

    Raises UsageError for axes and values that no cell has, and where a sheet cannot be as it is asked for.
    """
    check_words(cells, sheet)
    grid = grid_of(cells, sheet)
    style = style_of(sheet, measure)
    furniture = [_Furniture(cells, grid, leaf, style) for leaf in grid.leaves]
    taken = max(one.height for one in furniture)
    sizes = sizes_of(grid, style, limits or Limits(), taken)
    geometries = [sizes.geometry(leaf) for leaf in grid.leaves]
    count = sum(len(geometry.pages) for geometry in geometries)
    pages: list[Page] = []
    for leaf, geometry, words in zip(grid.leaves, geometries, furniture, strict=True):
        for number, chunks in enumerate(geometry.pages, 1):
            last = number == len(geometry.pages)
            pages.append(
                _page(cells, grid, leaf, style, sizes, geometry, chunks, words, (len(pages) + 1, count), last=last)
            )
    return pages


@dataclass(frozen=True)
class _Furniture:
    """What stands above and below the grid of a leaf's pages."""

    cells: Cells
    grid: Grid
    leaf: Leaf
    style: Style

    def above(self, width: float, page: int, pages: int) -> list[tuple[Typesetter, str, list[str], str]]:
        """(typesetter, role, lines, whole) of title and page label."""
        found: list[tuple[Typesetter, str, list[str], str]] = []
        sheet = self.grid.sheet
        if sheet.title:
            text = filled(sheet.title, self.cells, self.grid, self.leaf, page, pages)
            found.append((self.style.title, TITLE, self.style.title.wrapped(text, width), text))
        if self.leaf.key:
            text = values_of(sheet.pages, self.leaf.key, sheet)
            found.append((self.style.strong, TITLE, self.style.strong.wrapped(text, width), text))
        return found

    def below(self, width: float, page: int, pages: int) -> list[tuple[Typesetter, str, list[str], str]]:
        """The same of caption and notes."""
        sheet, style = self.grid.sheet, self.style
        texts: list[tuple[str, str]] = []
        if sheet.caption:
            texts.append((CAPTION, filled(sheet.caption, self.cells, self.grid, self.leaf, page, pages)))
        mixed = len({(cell.width, cell.height) for cell in self.grid.cells}) > 1
        texts += [(NOTE, note) for note in notes(self.grid, self.leaf, fitted=mixed and not sheet.one_scale)]
        return [(style.label, role, style.label.wrapped(text, width), text) for role, text in texts]

    @property
    def height(self) -> float:
        """What they take together of a page of a given width; of a page as wide as its grid, about that."""
        width = self.grid.sheet.width or 10 * self.style.label_most
        parts = [*self.above(width, 1, 1), *self.below(width, 1, 1)]
        empty = [state for state, count in self.grid.counts(self.leaf).items() if count and state != DONE]
        words = words_of(self.grid.cells)
        key = key_of(empty, self.style, Rect(0, 0, width, 0), words)[1] + self.style.pad * 2 if empty else 0.0
        return key + sum(setter.extent(lines)[1] + self.style.pad * 2 for setter, _, lines, _ in parts)


def _page(
    cells: Cells,
    grid: Grid,
    leaf: Leaf,
    style: Style,
    sizes: Sizes,
    geometry: Geometry,
    chunks: list[Chunk],
    words: _Furniture,
    numbers: tuple[int, int],
    *,
    last: bool,
) -> Page:
    number, count = numbers
    sheet = grid.sheet
    # A narrow sheet is as wide as its caption wants to be, within reason.
    content = max(chunk.shelf.width for chunk in chunks)
    wanted = max((setter.width(whole) for setter, _, _, whole in words.above(1e9, number, count)), default=0.0)
    wide = 20 * style.em if sheet.caption or words.below(1e9, number, count) else 0.0
    inner = (
        max(content, min(max(wanted, wide), 40 * style.em)) if sheet.width is None else sheet.width - 2 * style.margin
    )
    inner = max(inner, content)
    boxes: list[Box] = []
    y = style.margin
    for setter, role, lines, whole in words.above(inner, number, count):
        height = setter.extent(lines)[1]
        boxes.append(setter.placed(lines, Rect(style.margin, y, inner, height), role, whole))
        y += height + style.pad * 2
    aside = (inner - content) / 2 if sheet.width is not None else 0.0
    placing = Placing(grid, style, sizes, geometry)
    for chunk in chunks:
        boxes += placing.boxes(chunk, style.margin + aside, y)
    y += max(chunk.bottom for chunk in chunks)
    if small := {box.state for box in boxes if isinstance(box, Mark) and box.text is None}:
        y += style.pad * 2
        key, height = key_of(small, style, Rect(style.margin, y, inner, 0), words_of(grid.cells))
        boxes += key
        y += height
    for setter, role, lines, whole in words.below(inner, number, count) if last else ():
        height = setter.extent(lines)[1]
        y += style.pad * 2
        boxes.append(setter.placed(lines, Rect(style.margin, y, inner, height), role, whole))
        y += height
    labels = dict(zip(sheet.pages, leaf.key, strict=True))
    alt = alt_of(cells, grid, leaf)
    return Page(inner + 2 * style.margin, y + style.margin, tuple(boxes), number, count, labels, alt)
