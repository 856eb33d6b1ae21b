"""What a plot of measures shows: a panel for each measure, a row for each value of an axis, a dot for each picture.

Knows numbers and words; plot_file.py draws them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from latentpress.errors import UsageError, short
from latentpress.measures.axes import independent
from latentpress.measures.cells import Measured
from latentpress.measures.tables import APART, columns, everything, groups

KINDS = ("svg", "png", "pdf")
_TITLES = {
    "seconds": "seconds",
    "luma": "luma (0 to 1)",
    "contrast": "RMS contrast (0 to 0.5)",
    "saturation": "saturation (0 to 1)",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "drift_psnr": "PSNR to the unguided twin (dB)",
    "drift_ssim": "SSIM to the unguided twin",
    "sharpness": "sharpness (variance of the Laplacian)",
}
# Rows that a plot has at most, so that it can be read: at 6 mm each they are 1.2 m.
_MOST_ROWS = 200
# Values that the description of a plot names.
_NAMED = 8


@dataclass(frozen=True)
class Panel:
    """title: with its unit; rows: of each row its numbers, of pictures or of groups; span: the numbers that it has room for,
    None for those of its rows."""

    title: str
    rows: Sequence[Sequence[float]]
    span: tuple[float, float] | None = None


@dataclass(frozen=True)
class Plot:
    """labels: of the rows, from above; axes: what they are values of; panels: each has them all; by: the axes."""

    title: str
    axes: str
    labels: Sequence[str]
    panels: Sequence[Panel]
    by: tuple[str, ...] = ()

    @property
    def alt(self) -> str:
        """What it shows, for those who cannot see it."""
        named = ", ".join(short(label) for label in self.labels[:_NAMED])
        more = f" and {len(self.labels) - _NAMED} more" if len(self.labels) > _NAMED else ""
        rows = f"a row for each {self.axes}: {named}{more}" if self.axes else "one row"
        panels = "; ".join(panel.title for panel in self.panels)
        return f"Plot. {self.title}. Dots for pictures and a stroke at their mean; {rows}. Panels: {panels}."


def check_plot(path: Path) -> Path:
    """`path`; raises UsageError for a kind of file that no plot is, ModuleNotFoundError without matplotlib."""
    if path.suffix[1:].lower() not in KINDS:
        raise UsageError(f"--plot {path}: a plot is SVG, PNG or PDF; give a name that ends in .{', .'.join(KINDS)}")
    import matplotlib  # noqa: F401  # pyright: ignore[reportUnusedImport]

    return path


def plot_of(found: Measured) -> Plot:
    """What a plot shows: rows of `found.by`, else of the first axis that is no seed and has not too many values. Raises
    UsageError for too many rows, and where no picture was measured."""
    if not found.counts["measured"]:
        raise UsageError(
            f"{found.folder}: no picture could be measured, so there is nothing to plot; render some first"
        )
    axes = found.by or _first_axis(found)
    parts = groups(found, axes) or [everything(found)]
    if len(parts) > _MOST_ROWS:
        listed = ", ".join(axes)
        raise UsageError(
            f"--by {listed}: has {len(parts):,} values, and a plot has at most {_MOST_ROWS} rows; name another axis"
        )
    panels = [Panel(_title(column), [part.values[column] for part in parts]) for column in columns(found)]
    for axis in dict.fromkeys(axis for part in parts for axis in part.spreads):
        for key in APART:
            rows = [[getattr(one.distances, key) for one in part.spreads.get(axis, ())] for part in parts]
            panels.append(Panel(f"{key} apart across {axis}", rows))
    counts = found.counts["measured"]
    title = f"{found.cells.name}: {counts} of {len(found.cells.cells):,} pictures measured"
    if found.against:
        title += ", against " + " and ".join(f"{axis}={text}" for axis, text in found.against.items())
    labels = [", ".join(part.labels.values()) or "all" for part in parts]
    return Plot(title, ", ".join(axes), labels, [panel for panel in panels if any(panel.rows)], axes)


def _title(column: str) -> str:
    """What a column is called above its panel."""
    if column.startswith("loss_"):
        name = column.removeprefix("loss_")
        changed = name.removesuffix("_change")
        return f"loss {name}" if changed == name else f"change of the loss {changed}"
    return _TITLES.get(column, column)


def _first_axis(found: Measured) -> tuple[str, ...]:
    """The first axis that is no seed, else the seed; none where each has too many values for a plot."""
    fit = [axis for axis in independent(found.cells) if len(found.cells.labels(axis)) <= _MOST_ROWS]
    return next(((axis,) for axis in fit if axis != "seed"), tuple(fit[:1]))
