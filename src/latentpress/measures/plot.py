"""What was measured as a plot: a panel for each measure, a row for each value of an axis, a dot for each picture.

Needs matplotlib, which is imported where it is used. The same numbers give the same bytes.
"""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latentpress.errors import UsageError
from latentpress.measures.axes import independent
from latentpress.measures.folder import Measured
from latentpress.measures.tables import APART, columns, everything, groups

KINDS = ("svg", "png", "pdf")
_TITLES = {
    "seconds": "seconds",
    "luma": "luma (0 to 1)",
    "contrast": "RMS contrast (0 to 0.5)",
    "saturation": "saturation (0 to 1)",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "sharpness": "sharpness (variance of the Laplacian)",
}
# Rows that a plot has at most, so that it can be read: at 6 mm each they are 1.2 m.
_MOST_ROWS = 200
_PANELS_A_ROW = 3
# Inches.
_PANEL_WIDTH, _ROW_HEIGHT, _PANEL_EXTRA, _LETTER_WIDTH = 2.6, 0.24, 0.75, 0.07
# From so many dots on vector formats hold them as pixels.
_MANY = 3000
_LETTERS_OF_A_LABEL = 40
_DOT, _MEAN = "#4477aa", "#111111"


@dataclass(frozen=True)
class Panel:
    """title: with its unit; rows: of each row its numbers, of pictures or of groups."""

    title: str
    rows: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Plot:
    """labels: of the rows, from above; axes: what they are values of; panels: each has them all."""

    title: str
    axes: str
    labels: Sequence[str]
    panels: Sequence[Panel]


def check_plot(path: Path) -> Path:
    """`path`; raises UsageError for a kind of file that no plot is, ModuleNotFoundError without matplotlib."""
    if path.suffix[1:].lower() not in KINDS:
        raise UsageError(f"--plot {path}: a plot is SVG, PNG or PDF; give a name that ends in .{', .'.join(KINDS)}")
    import matplotlib  # noqa: F401  # pyright: ignore[reportUnusedImport]

    return path


def plot_of(found: Measured) -> Plot:
    """What a plot shows: rows of `found.by`, else of the first axis that is no seed. Raises UsageError for too many rows,
    and where no picture was measured."""
    if not found.counts["measured"]:
        raise UsageError(
            f"{found.folder}: no picture could be measured, so there is nothing to plot; render some first"
        )
    axes = found.by or _first_axis(found)
    parts = groups(found, axes) or [everything(found)]
    if len(parts) > _MOST_ROWS:
        listed = ", ".join(axes)
        raise UsageError(
            f"--plot: {listed} has {len(parts)} values and a plot at most {_MOST_ROWS}; name others by --by"
        )
    panels = [Panel(_TITLES.get(column, column), [part.values[column] for part in parts]) for column in columns(found)]
    for axis in dict.fromkeys(axis for part in parts for axis in part.spreads):
        for key in APART:
            rows = [[getattr(one.distances, key) for one in part.spreads.get(axis, ())] for part in parts]
            panels.append(Panel(f"{key} apart across {axis}", rows))
    counts = found.counts["measured"]
    title = f"{found.cells.name}: {counts} of {len(found.cells.cells)} pictures measured"
    if found.against:
        title += ", against " + " and ".join(f"{axis}={text}" for axis, text in found.against.items())
    labels = [", ".join(part.labels.values()) or "all" for part in parts]
    return Plot(title, ", ".join(axes), labels, [panel for panel in panels if any(panel.rows)])


def plot_bytes(plot: Plot, kind: str) -> tuple[bytes, list[str]]:
    """The plot's file of a kind in KINDS, and sentences about what it lacks: characters that no font has."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    families, said = _families([plot.title, plot.axes, *plot.labels, *(panel.title for panel in plot.panels)])
    settings: dict[Any, Any] = {"font.family": families, "font.size": 8, "pdf.fonttype": 42}
    settings |= {"svg.fonttype": "none", "svg.hashsalt": "latentpress"}
    buffer = io.BytesIO()
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph ")  # said in one sentence
        across = min(_PANELS_A_ROW, len(plot.panels))
        down = -(-len(plot.panels) // across)
        height = down * (_PANEL_EXTRA + _ROW_HEIGHT * len(plot.labels)) + 0.3
        width = _LETTER_WIDTH * max(len(_short(label)) for label in plot.labels)
        figure = Figure(figsize=(0.5 + width + _PANEL_WIDTH * across, height), layout="constrained")
        FigureCanvasAgg(figure)
        grid: Any = figure.subplots(down, across, sharey=True, squeeze=False)
        for panel, place in zip(plot.panels, grid.flat, strict=False):
            _draw(place, panel, plot.labels)
        for place in grid.flat[len(plot.panels) :]:
            place.set_visible(False)
        figure.supylabel(plot.axes, parse_math=False)
        figure.suptitle(plot.title, parse_math=False)
        nothing = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
        figure.savefig(buffer, format=kind, dpi=150, metadata=nothing)
    return buffer.getvalue(), said


def _draw(place: Any, panel: Panel, labels: Sequence[str]) -> None:
    """A panel: its numbers as dots, one above another where there are several, and the mean of each row as a stroke."""
    many = sum(map(len, panel.rows)) > _MANY
    for row, numbers in enumerate(panel.rows):
        # Dots of one row lie on several levels, in turn, so that close ones can be told apart.
        levels = row + 0.22 * np.linspace(-1, 1, 5)[np.arange(len(numbers)) % 5] if len(numbers) > 1 else [row]
        place.plot(numbers, levels[: len(numbers)], "o", ms=3, mew=0, color=_DOT, alpha=0.55, rasterized=many)
        if len(numbers):
            place.plot([float(np.mean(numbers))] * 2, [row - 0.38, row + 0.38], "-", lw=1.6, color=_MEAN)
    place.set_title(panel.title, fontsize="medium", parse_math=False)
    place.set_ylim(len(labels) - 0.5, -0.5)
    place.set_yticks(range(len(labels)))
    for text in place.set_yticklabels([_short(label) for label in labels]):
        text.set_parse_math(False)
    place.grid(axis="x", lw=0.4, color="#cccccc")
    place.set_axisbelow(True)
    place.spines[["top", "right"]].set_visible(False)
    place.locator_params(axis="x", nbins=5)


def _first_axis(found: Measured) -> tuple[str, ...]:
    axes = independent(found.cells)
    return next(((axis,) for axis in axes if axis != "seed"), axes[:1])


def _short(label: str) -> str:
    return label if len(label) <= _LETTERS_OF_A_LABEL else label[: _LETTERS_OF_A_LABEL - 1] + "…"


def _families(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """The families that have the characters of `texts`, as sheets choose them, and what is said of those without."""
    from matplotlib import font_manager

    from latentpress.sheets.text.fonts import clusters, fonts_of

    fonts, text = fonts_of(), "".join(texts)
    picked = [fonts.first, *(font for one in clusters(text) if (font := fonts.pick(one)) is not None)]
    known = font_manager.fontManager
    names: dict[str, None] = {}
    for path, index in dict.fromkeys((str(font.path), font.index) for font in picked):
        if not any(entry.fname == path for entry in known.ttflist):
            try:
                known.addfont(path)
            except (OSError, RuntimeError):  # a format that matplotlib does not read, such as a font of bitmaps
                continue
        # Before matplotlib 3.11 of a collection the first face alone.
        faces = {getattr(entry, "index", 0): entry.name for entry in known.ttflist if entry.fname == path}
        names[faces.get(index, next(iter(faces.values())))] = None
    missing = fonts.missing(text)
    said = [f"warning: no font here has {' '.join(missing)}, so the plot shows boxes"] if missing else []
    return [*names, "DejaVu Sans"], said
