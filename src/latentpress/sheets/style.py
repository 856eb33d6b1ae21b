"""The sizes of a sheet's parts in millimetres: typesetters for each kind of text, gaps and margins."""

from dataclasses import dataclass

from latentpress.sheets.lines import Typesetter
from latentpress.sheets.page import MM_PER_INCH, MM_PER_PT, Measure
from latentpress.sheets.spec import SCREEN_DPI, Sheet

# Pixels of a screen; the gap between pictures of a sheet that nobody gave a width.
_SCREEN_GAP = 8
_PRINT_GAP_MM = 1.0
# Headers are repeated where the last ones are further away than a sheet of A4 is high: out of sight on a screen too.
REPEAT_MM = 297.0
# The widest label column, as a share of a given width, and in mm on a screen (320 of its pixels).
_LABEL_SHARE = 0.3
_LABEL_MM = 85.0
# Smallest text in a mark, in points, and as a share of labels.
_SMALLEST, _SMALL = 4.0, 0.8


@dataclass(frozen=True)
class Style:
    """label, strong, title: typesetters of labels, of names and letters, of the title; marks: for what stands in a cell
    without a picture, the larger first; gap: between pictures, group_gap: between groups of them, panel_gap: between panels,
    pad: between text and what it is of; label_most: the widest column of row labels."""

    label: Typesetter
    strong: Typesetter
    title: Typesetter
    marks: tuple[Typesetter, ...]
    gap: float
    group_gap: float
    panel_gap: float
    pad: float
    margin: float
    label_most: float
    border: float
    screen: bool

    @property
    def em(self) -> float:
        return self.label.size * MM_PER_PT


def style_of(sheet: Sheet, measure: Measure) -> Style:
    """The style of a sheet."""
    size, screen = sheet.points, sheet.width is None
    gap = sheet.gutter
    if gap is None:
        gap = _SCREEN_GAP * MM_PER_INCH / SCREEN_DPI if screen else _PRINT_GAP_MM
    em = size * MM_PER_PT
    small = dict.fromkeys((size * _SMALL, max(_SMALLEST, size * 0.6), _SMALLEST))
    return Style(
        label=Typesetter(measure, size),
        strong=Typesetter(measure, size, bold=True),
        title=Typesetter(measure, size * 1.25, bold=True),
        marks=tuple(Typesetter(measure, points) for points in small),
        gap=gap,
        group_gap=gap + em * 0.75,
        panel_gap=gap + em * 1.5,
        pad=em * 0.35,
        margin=max(_SCREEN_GAP * MM_PER_INCH / SCREEN_DPI if screen else 0.0, sheet.border * MM_PER_PT),
        label_most=_LABEL_MM if sheet.width is None else sheet.width * _LABEL_SHARE,
        border=sheet.border,
        screen=screen,
    )
