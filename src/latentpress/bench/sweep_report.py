"""A sweep as lines, as a table in CSV, Markdown or LaTeX, and as a plot of latency against throughput."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from latentpress.bench.sweep import AXES, Swept
from latentpress.errors import UsageError

_HEADS = (*AXES, "pictures", "latency ms", "interval", "images/s", "front")


def sweep_lines(found: Sequence[Swept]) -> list[str]:
    """A table with aligned columns."""
    rows = [list(_HEADS), *(_row(one) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def check_table(path: Path) -> None:
    """Raise UsageError where `table_text` writes no such format."""
    if path.suffix not in _WRITERS:
        raise UsageError(f"--table {path}: the suffix must be one of {', '.join(_WRITERS)}")


def table_text(found: Sequence[Swept], suffix: str) -> str:
    """The table as `.csv`, `.md` or `.tex`."""
    return _WRITERS[suffix]([_row(one) for one in found])


def save_front(found: Sequence[Swept], path: Path) -> None:
    """Latency against throughput with their intervals, a colour for each engine, and the front as a line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plot = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(plot)
    axes = plot.subplots()
    for engine in dict.fromkeys(one.combination.engine for one in found):
        ones = [one for one in found if one.combination.engine == engine]
        rates, times = [one.throughput for one in ones], [one.latency.median for one in ones]
        across = [[a.throughput - a.throughput_low for a in ones], [a.throughput_high - a.throughput for a in ones]]
        along = [[a.latency.median - a.latency.low for a in ones], [a.latency.high - a.latency.median for a in ones]]
        axes.errorbar(rates, times, xerr=across, yerr=along, fmt="o", capsize=2, label=engine)
    changing = [name for name in AXES[1:] if len({one.combination.label[name] for one in found}) > 1]
    for one in found:
        text = ", ".join(f"{one.combination.label[name]} {name}" for name in changing)
        axes.annotate(text, (one.throughput, one.latency.median), xytext=(4, 4), textcoords="offset points", fontsize=7)
    front = sorted((one for one in found if one.front), key=lambda one: one.throughput)
    axes.plot(
        [one.throughput for one in front], [one.latency.median for one in front], "k--", linewidth=0.8, label="front"
    )
    axes.set(xlabel="throughput, images/s", ylabel="latency of a picture, ms", xlim=(0, None), ylim=(0, None))
    axes.legend()
    plot.savefig(path, dpi=120)


def _row(one: Swept) -> list[str]:
    latency = one.latency
    cells = (
        str(one.pictures),
        f"{latency.median:.1f}",
        f"{latency.low:.1f} - {latency.high:.1f}",
        f"{one.throughput:.3f}",
    )
    return [*one.combination.label.values(), *cells, "yes" if one.front else ""]


def _csv(rows: Sequence[Sequence[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([_HEADS, *rows])
    return stream.getvalue()


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = [_HEADS, ["---", *["--:"] * (len(_HEADS) - 1)], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _latex(rows: Sequence[Sequence[str]]) -> str:
    """A `tabular` with booktabs' rules, for a document that loads the package."""
    lines = [" & ".join(cells) + r" \\" for cells in rows]
    heads = " & ".join(_HEADS) + r" \\"
    begin = rf"\begin{{tabular}}{{l{'r' * (len(_HEADS) - 1)}}}"
    return "\n".join([begin, r"\toprule", heads, r"\midrule", *lines, r"\bottomrule", r"\end{tabular}", ""])


_WRITERS: dict[str, Callable[[Sequence[Sequence[str]]], str]] = {".csv": _csv, ".md": _markdown, ".tex": _latex}
