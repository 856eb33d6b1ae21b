"""A plot as pages of a sheet's PDF: matplotlib draws dots, lines and axes, and the sheet sets every word and number.

So the text of a plot is in the fonts of the sheet, in every script, and can be selected and searched.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from latentpress.errors import UsageError
from latentpress.measures.cells import Measured
from latentpress.measures.plot import Panel, Plot, plot_of
from latentpress.measures.plot_figure import HEAD, PANEL_EXTRA, POINTS, ROW_HEIGHT, SIDE, Built, built, height_of
from latentpress.measures.plot_file import PANELS_A_ROW, in_lines, saved, settings
from latentpress.measures.plot_fonts import LOST, families
from latentpress.sheets.page import (
    AXIS,
    COLUMN,
    MM_PER_INCH,
    MM_PER_PT,
    PANEL,
    PT_PER_INCH,
    ROW,
    TITLE,
    Line,
    Page,
    Rect,
    Text,
)
from latentpress.sheets.plate import Plate
from latentpress.sheets.spec import Sheet
from latentpress.sheets.text.fonts import clusters
from latentpress.sheets.text.measure import Measure

# Of a sheet that names none: what stands between the margins of an A4, in mm, and text in points.
_SHEET_WIDTH, _SHEET_HEIGHT, _SHEET_POINTS = 170.0, 257.0, 8.0
# Inches at POINTS: what a panel is at least wide, and what it is where several stand beside each other.
_LEAST_PANEL, _GOOD_PANEL = 0.8, 1.7
# Of a page's width, what labels take at most, and the title.
_LABELS, _TITLE = 0.4, 0.95
# From the middle of a line of text to its baseline, in parts of its size: half of a capital's height.
_DOWN = 0.36


def sheet_plates(found: Measured, sheet: Sheet) -> list[Plate]:
    """What was measured as pages that follow those of `sheet`: as wide and high as they may be, in its fonts."""
    measure = Measure(sheet.font)
    points = sheet.font_size or _SHEET_POINTS
    width, height = sheet.width or _SHEET_WIDTH, sheet.height or _SHEET_HEIGHT
    return plot_plates(plot_of(found), width, height, points, measure)


def plot_plates(plot: Plot, width: float, height: float, points: float, measure: Measure) -> list[Plate]:
    """The plot as pages of at most `width` and `height` mm, its text of `points`; what does not fit one goes to another.

    Words too wide for their place end in an ellipsis. Raises UsageError for pages that have no room for a panel.
    """
    scale, inches = points / POINTS, width / MM_PER_INCH
    whole = in_lines(plot)
    labels = [_cut(label, _LABELS * width, points, measure) for label in whole.labels]
    widest = max(measure.width(label, points) for label in labels)
    room = (width - widest) / MM_PER_INCH / scale - SIDE
    left = height / MM_PER_INCH / scale - HEAD
    if room < _LEAST_PANEL or left < PANEL_EXTRA + ROW_HEIGHT:
        raise UsageError(
            f"plots: a page of {width:g} by {height:g} mm has no room for a plot with text of {points:g} pt; give the "
            "sheet more with its width and height, or smaller text with its font size"
        )
    across = min(PANELS_A_ROW, len(whole.panels), max(1, int(room / _GOOD_PANEL)))
    rows = min(len(labels), int((left - PANEL_EXTRA) / ROW_HEIGHT))
    down = max(1, int(left / (PANEL_EXTRA + ROW_HEIGHT * rows)))
    each = room * scale * MM_PER_INCH / across
    panels = [replace(panel, title=_cut(panel.title, each, points, measure)) for panel in whole.panels]
    title = _cut(whole.title, _TITLE * width, points * 1.2, measure)
    shown = replace(whole, title=title, labels=labels, panels=panels)
    # The sheet's own fonts, as far as matplotlib reads them, so that it leaves the room that they take.
    text = "\n".join([title, whole.axes, *labels, *(panel.title for panel in panels), LOST])
    with settings(families(text, measure.fonts, named=False).names, points):
        return [
            _plate(part, inches, min(across, len(part.panels)), points, measure)
            for part in _parts(shown, rows, across * down)
        ]


def _cut(text: str, width: float, size: float, measure: Measure) -> str:
    """`text`, of which no more is kept than is `width` mm wide."""
    parts = clusters(text)
    if measure.width(text, size) <= width:
        return text
    while parts and measure.width("".join(parts) + "…", size) > width:
        parts.pop()
    return "".join(parts).rstrip() + "…"


def _parts(plot: Plot, rows: int, panels: int) -> Iterator[Plot]:
    """The plot cut into so many rows and panels each; a panel has the same room for numbers on every page."""
    spanned = [replace(panel, span=_span(panel)) for panel in plot.panels]
    for top in range(0, len(plot.labels), rows):
        for first in range(0, len(spanned), panels):
            some = spanned[first : first + panels]
            cut = [replace(panel, rows=panel.rows[top : top + rows]) for panel in some]
            yield replace(plot, labels=plot.labels[top : top + rows], panels=cut)


def _span(panel: Panel) -> tuple[float, float]:
    numbers = [number for row in panel.rows for number in row]
    low, high = min(numbers), max(numbers)
    edge = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - edge, high + edge


def _plate(plot: Plot, width: float, across: int, points: float, measure: Measure) -> Plate:
    made = built(plot, width, across, points)
    figure = made.figure
    figure.set_dpi(PT_PER_INCH)  # so that pixels are points
    figure.canvas.draw()
    figure.set_layout_engine("none")  # everything stays where it is, also without its text
    high = height_of(plot, across) * points / POINTS * MM_PER_INCH
    boxes: list[Text] = []
    for one, role in _texts(made):
        if one.get_text().strip():
            boxes.append(_box(one, role, high, points, measure))
        one.set_visible(False)
    svg = saved(figure, "svg", {"Date": None})
    return Plate(svg, Page(width * MM_PER_INCH, high, tuple(boxes), alt=plot.alt))


def _texts(made: Built) -> Iterator[tuple[Any, str]]:
    """Every text that can be seen, in the order in which it is read, and what it is for."""
    yield made.title, TITLE
    yield made.axes, AXIS
    for place in made.panels:
        yield place.title, PANEL
        yield from ((one, ROW) for one in place.yaxis.get_ticklabels() if one.get_visible())
        low, high = place.get_xlim()
        yield from ((one, COLUMN) for one in place.xaxis.get_ticklabels() if low <= one.get_position()[0] <= high)
        yield place.xaxis.get_offset_text(), COLUMN


def _box(one: Any, role: str, high: float, points: float, measure: Measure) -> Text:
    """A text of matplotlib's, which has its origin below, as one of a page `high` mm high: its middle, or for rows its
    right end, stays where it is."""
    place = one.get_window_extent()
    text, size = measure.shown(one.get_text()), one.get_fontsize()
    wide, down = measure.width(text, size), _DOWN * size * MM_PER_PT
    middle, level = (place.x0 + place.x1) / 2 * MM_PER_PT, high - (place.y0 + place.y1) / 2 * MM_PER_PT
    tall = measure.line_height(size)
    if turned := role == AXIS:
        line = Line(text, middle + down, level + wide / 2, wide)
        rect = Rect(middle - tall / 2, level - wide / 2, tall, wide)
    else:
        left = place.x1 * MM_PER_PT - wide if role == ROW else middle - wide / 2
        line = Line(text, left, level + down, wide)
        rect = Rect(left, level - tall / 2, wide, tall)
    return Text(rect, (line,), size, role, text, turned=turned)
