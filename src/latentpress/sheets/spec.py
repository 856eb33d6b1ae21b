"""What a sheet is to look like, and its measures in words: `183mm`, `nature double`. Knows no YAML and no command line."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from latentpress.sheets.page import MM_PER_INCH, MM_PER_PT

# Of sheets: drawn by the painter of that name; of tables: written row by row.
FORMATS = ("png", "tif", "webp", "pdf", "typ", "svg", "tex", "csv", "jsonl", "parquet")
RASTER = ("png", "tif", "webp")
TABLES = ("csv", "jsonl", "parquet")
# Of a sheet whose width nobody gives: pictures pixel by pixel on a screen, whose dots are 1/96 inch.
SCREEN_DPI = 96
PRINT_DPI = 300
SCREEN_POINTS = 12
_UNITS = {"mm": 1.0, "cm": 10.0, "in": MM_PER_INCH, "pt": MM_PER_PT}
_LENGTH = re.compile(r"([0-9]{1,5}(?:\.[0-9]{1,4})?)\s*(mm|cm|in|pt)?")
# Millimetres: below this no label fits, above it no PDF reader opens a page (14,400 units of 1/72 inch).
LEAST, MOST = 10.0, 5080.0


@dataclass(frozen=True)
class Venue:
    """Where figures are published: widths by name and the greatest height in mm, sizes of text in points."""

    widths: Mapping[str, float]
    height: float
    points: tuple[float, float]
    source: str


# Widths and heights as the venue's style file or guide has them; docs/sheets.md says where each was looked up. What LaTeX's
# classes have was measured: \columnwidth, \textwidth and \textheight, 72.27 points an inch.
VENUES: Mapping[str, Venue] = {
    "nature": Venue({"column": 89, "double": 183}, 170, (5, 7), "research-figure-guide.nature.com"),
    "science": Venue(
        {"column": 57, "middle": 121, "double": 184}, 230, (6, 8), "instructions for authors, from memory"
    ),
    "elsevier": Venue({"column": 90, "middle": 140, "double": 190}, 240, (6, 8), "elsevier.com, artwork sizing"),
    "cvpr": Venue({"column": 82.55, "double": 174.6}, 225.4, (6, 9), "author kit, 3.25 and 6.875 by 8.875 inches"),
    "neurips": Venue({"column": 139.7, "double": 139.7}, 228.6, (6, 9), "neurips.sty, 5.5 by 9 inches"),
    "acm": Venue({"column": 84.75, "double": 177.9}, 220, (6, 9), "acmart 1.88, sigconf"),
    "ieee": Venue({"column": 88.5, "double": 181.3}, 236, (6, 9), "IEEEtran 1.8b, conference"),
    "a4": Venue({"column": 170, "double": 170}, 257, (7, 11), "ISO 216, margins of 20 mm"),
    "a0": Venue({"column": 390, "double": 801}, 1149, (18, 36), "ISO 216 upright, margins of 20 mm"),
}
DEFAULT_VENUE_WIDTH = "double"


@dataclass(frozen=True)
class Sheet:
    """A sheet as it is asked for.

    rows, columns, pages, panels: the axes or fields along each, the outer one first; empty: chosen by the layout.
    width, height: of a page in mm, the height at most; None: as large as the pictures at `dpi`.
    font: a family's name or the path of a font file, None for the bundled one; font_size: in points.
    gutter: between pictures, in mm; border: of cells, in points.
    order: key -> the values to show, in this order; only: KEY=VALUE terms, all of which a cell must meet.
    names: key -> what the sheet calls it; axis_names: whether it names its axes, None for where room was asked for.
    letters: whether panels are lettered a, b, c.
    one_scale: whether pictures of different sizes keep one scale, or each is fitted to its cell, which is said then.
    plots: whether its PDF has pages with plots of the pictures' numbers; plots_by: the axes of their rows; plots_against:
    AXIS=VALUE terms of the pictures that each is compared with.
    """

    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()
    panels: tuple[str, ...] = ()
    name: str = "sheet"
    formats: tuple[str, ...] = ("png",)
    width: float | None = None
    height: float | None = None
    dpi: float | None = None
    font: str | None = None
    font_size: float | None = None
    gutter: float | None = None
    border: float = 0.0
    title: str = ""
    caption: str = ""
    order: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    only: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    axis_names: bool | None = None
    letters: bool = True
    one_scale: bool = True
    plots: bool = False
    plots_by: tuple[str, ...] = ()
    plots_against: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Every axis or field that has a side."""
        return self.rows + self.columns + self.pages + self.panels

    @property
    def resolution(self) -> float:
        """Dots per inch that pictures are painted with."""
        return self.dpi or (SCREEN_DPI if self.width is None else PRINT_DPI)

    @property
    def points(self) -> float:
        """The size of labels in points."""
        return self.font_size or (SCREEN_POINTS if self.width is None else 7.0)


def parse_length(text: str) -> float:
    """`183mm`, `18.3 cm`, `7in`, `89` (mm) -> millimetres; raises ValueError with the rule."""
    match = _LENGTH.fullmatch(text.strip())
    found = float(match[1]) * _UNITS[match[2] or "mm"] if match else 0.0
    if not LEAST <= found <= MOST:
        raise ValueError(f"must be a length such as 183mm, 18.3cm or 7.2in, from {LEAST:g} to {MOST:g} mm")
    return found


def parse_width(text: str) -> tuple[float, Venue | None]:
    """A length, or `nature`, `nature column`: millimetres, and the venue; raises ValueError with the rule."""
    words = text.lower().replace("-", " ").split()
    venue = VENUES.get(words[0]) if words else None
    if venue is None:
        try:
            return parse_length(text), None
        except ValueError as error:
            raise ValueError(f"{error}, or a venue's such as `nature column`: {', '.join(VENUES)}") from None
    which = " ".join(words[1:]) or DEFAULT_VENUE_WIDTH
    if which not in venue.widths:
        listed = ", ".join(f"`{words[0]} {name}` ({mm:g} mm)" for name, mm in venue.widths.items())
        raise ValueError(f"must be one of {listed}")
    return float(venue.widths[which]), venue
