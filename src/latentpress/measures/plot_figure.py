"""A plot as a figure of matplotlib, which is imported here: where everything lies, before it becomes a file.

Knows no fonts; whoever draws it chooses them by matplotlib's settings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentpress.measures.plot import Panel, Plot

# Points, and inches at that size of text.
POINTS = 8.0
PANEL_WIDTH, ROW_HEIGHT, PANEL_EXTRA, HEAD = 2.6, 0.24, 0.75, 0.3
SIDE = 0.5
_LETTER_WIDTH = 0.07
# From so many dots on vector formats hold them as pixels.
_MANY = 3000
# Dots of one row lie on so many levels, in turn, so that close ones can be told apart.
_LEVELS = 5
_DOT, _MEAN = "#4477aa", "#111111"


@dataclass(frozen=True)
class Built:
    """figure: matplotlib's; title, axes: its texts around all panels; panels: one of matplotlib's axes for each."""

    figure: Any
    title: Any
    axes: Any
    panels: Sequence[Any]


def built(plot: Plot, width: float, across: int, points: float, kept: Callable[[str], str] = str) -> Built:
    """The figure of `plot`. width: in inches; across: panels beside each other; points: the size of text; kept: what is
    written of a text."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scale = points / POINTS
    figure = Figure(figsize=(width, height_of(plot, across) * scale), layout="constrained")
    FigureCanvasAgg(figure)
    grid: Any = figure.subplots(-(-len(plot.panels) // across), across, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for panel, place in zip(plot.panels, panels, strict=False):
        _draw(place, panel, list(map(kept, plot.labels)), scale)
        place.set_title(kept(panel.title), fontsize="medium", parse_math=False)
    for place in panels[len(plot.panels) :]:
        place.set_visible(False)
    axes = figure.supylabel(kept(plot.axes), parse_math=False)
    title = figure.suptitle(kept(plot.title), parse_math=False)
    return Built(figure, title, axes, panels[: len(plot.panels)])


def height_of(plot: Plot, across: int) -> float:
    """Inches at POINTS."""
    return -(-len(plot.panels) // across) * (PANEL_EXTRA + ROW_HEIGHT * len(plot.labels)) + HEAD


def side_of(plot: Plot) -> float:
    """Inches at POINTS that stand left of the panels: the labels of the rows and the name of their axis."""
    return SIDE + _LETTER_WIDTH * max(map(len, plot.labels))


def _draw(place: Any, panel: Panel, labels: Sequence[str], scale: float) -> None:
    """A panel: its numbers as dots, one above another where there are several, and the mean of each row as a stroke."""
    many = sum(map(len, panel.rows)) > _MANY
    numbers = np.array([number for row in panel.rows for number in row], np.float64)
    levels = [level for row, some in enumerate(panel.rows) for level in row + _levels(len(some))]
    place.plot(numbers, levels, "o", ms=3 * scale, mew=0, color=_DOT, alpha=0.55, rasterized=many)
    means = [(row, float(np.mean(some))) for row, some in enumerate(panel.rows) if len(some)]
    rows = np.array([row for row, _ in means])
    place.vlines([mean for _, mean in means], rows - 0.38, rows + 0.38, lw=1.6 * scale, color=_MEAN, zorder=3)
    place.set_ylim(len(labels) - 0.5, -0.5)
    if panel.span is not None:
        place.set_xlim(*panel.span)
    place.set_yticks(range(len(labels)))
    for text in place.set_yticklabels(labels):
        text.set_parse_math(False)
    place.grid(axis="x", lw=0.4 * scale, color="#cccccc")
    place.set_axisbelow(True)
    place.spines[["top", "right"]].set_visible(False)
    place.locator_params(axis="x", nbins=5)


def _levels(count: int) -> NDArray[np.float64]:
    """Where so many dots of a row lie, from its middle."""
    several = min(_LEVELS, count)
    return 0.22 * np.linspace(-1, 1, several)[np.arange(count) % several] if several > 1 else np.zeros(count)
