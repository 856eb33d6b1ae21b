"""A laid-out sheet: pages of boxes, in millimetres from a page's top left. What painters get, and all they need to know.

Lines are broken and placed before; a painter sets each from its pen position as it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from latentpress.sheets.cells import Cell

MM_PER_INCH = 25.4
PT_PER_INCH = 72
MM_PER_PT = MM_PER_INCH / PT_PER_INCH

# What a text is for, by which painters tag it.
TITLE, CAPTION, AXIS, COLUMN, ROW, GROUP = "title", "caption", "axis", "column", "row", "group"
PANEL, NOTE = "panel", "note"
ROLES = (TITLE, CAPTION, AXIS, COLUMN, ROW, GROUP, PANEL, NOTE)
LEFT, CENTER, RIGHT = "left", "center", "right"


class Measure(Protocol):
    """How much room text takes; sizes in points, answers in millimetres."""

    def shown(self, text: str) -> str:
        """What painters set of one line of text; of that, the same."""
        ...

    def width(self, text: str, size: float, *, bold: bool = False) -> float:
        """The advance of one line of text, shaped."""
        ...

    def ascent(self, size: float, *, bold: bool = False) -> float:
        """From the top of a line to its baseline, whatever script it is in."""
        ...

    def line_height(self, size: float, *, bold: bool = False) -> float:
        """From the top of a line to the top of the next."""
        ...


@dataclass(frozen=True)
class Rect:
    """x, y: of the top left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height


@dataclass(frozen=True)
class Line:
    """One line of text as `Measure.shown` gives it, and where its pen begins: on the baseline, at the visual left, whatever
    the direction of writing. width: its advance as measured."""

    text: str
    x: float
    y: float
    width: float


@dataclass(frozen=True)
class Text:
    """Lines within `rect`, black. turned: written upwards, each line's pen going up from (x, y).

    size: in points; whole: the text before it was broken into lines.
    """

    rect: Rect
    lines: tuple[Line, ...]
    size: float
    role: str
    whole: str
    align: str = LEFT
    bold: bool = False
    turned: bool = False


@dataclass(frozen=True)
class Picture:
    """The picture of a cell that is done, to fill `rect`, whose proportions are the picture's."""

    rect: Rect
    cell: Cell


@dataclass(frozen=True)
class Mark:
    """A place without a picture: `state` says why; cell: None where nothing is planned; text: what stands in it."""

    rect: Rect
    state: str
    cell: Cell | None
    text: Text | None


@dataclass(frozen=True)
class Frame:
    """The outline of `rect`, its line `width` points wide, drawn inwards and outwards alike."""

    rect: Rect
    width: float


@dataclass(frozen=True)
class Rule:
    """A straight line from (x1, y1) to (x2, y2), `width` points wide."""

    x1: float
    y1: float
    x2: float
    y2: float
    width: float


Box = Text | Picture | Mark | Frame | Rule


@dataclass(frozen=True)
class Page:
    """One page: its size in mm, and its boxes in the order in which they are painted and read.

    number: from 1, of `count`; labels: what the page is of, such as {"loss": "canny"}; alt: what the page shows.
    """

    width: float
    height: float
    boxes: tuple[Box, ...]
    number: int = 1
    count: int = 1
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    alt: str = ""

    @property
    def texts(self) -> Iterator[Text]:
        """All text of the page, that within marks too, in order."""
        for box in self.boxes:
            if isinstance(box, Text):
                yield box
            elif isinstance(box, Mark) and box.text is not None:
                yield box.text

    @property
    def cells(self) -> Iterator[Cell]:
        """The planned cells that the page shows, in order."""
        for box in self.boxes:
            if isinstance(box, Picture | Mark) and box.cell is not None:
                yield box.cell
