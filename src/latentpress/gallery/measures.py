"""The numbers of a gallery's pictures, above its grid: plots as SVG, and the means as a table for those who cannot see them.

Plain HTML that needs no script. The plots are files beside the page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from latentpress.batch.measured import measure_folder
from latentpress.errors import one_line
from latentpress.measures import Measured
from latentpress.measures.plot import plot_of
from latentpress.measures.plot_file import plot_bytes
from latentpress.measures.tables import columns, everything, groups

# The files of plots, one a folder.
PLOTS = "measures-*.svg"
_DIGITS = 3


@dataclass(frozen=True)
class Asked:
    """What is to be measured. by: the axes whose values make the rows, none for the first; against: AXIS=VALUE terms of what
    each picture is compared with."""

    by: tuple[str, ...] = ()
    against: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """html: what the page has; files: name -> content, beside it; said: what to know of it, a sentence each."""

    html: str
    files: dict[str, bytes]
    said: tuple[str, ...]


NOTHING = Section("", {}, ())


def measures_section(folders: Sequence[tuple[Path, str]], asked: Asked, ledger: Path | None = None) -> Section:
    """The section for folders and what the page calls each; ledger: of the first, where it lies elsewhere.

    Raises as `measure_folder` and `plot_of` do, and ModuleNotFoundError without matplotlib.
    """
    parts: list[str] = []
    files: dict[str, bytes] = {}
    said: dict[str, None] = {}
    for number, (folder, name) in enumerate(folders, 1):
        found = measure_folder(folder, ledger=ledger if number == 1 else None, against=asked.against, by=asked.by)
        if not found.counts["measured"]:
            said[f"note: {one_line(str(folder))}: no picture could be measured"] = None
            continue
        file = PLOTS.replace("*", str(number))
        plot = plot_of(found)
        files[file], lines = plot_bytes(plot, "svg")
        said |= dict.fromkeys(lines)
        heading = f"<h2 dir=auto>{_text(name)}</h2>" if len(folders) > 1 else ""
        image = f'<img src="{file}" alt="{_text(plot.alt)}" loading="lazy">'
        parts.append(f"{heading}<figure>{image}</figure>{_table(found, plot.by)}")
    if not parts:
        return Section("", {}, tuple(said))
    html = f'<details id="measures"><summary>Measures</summary>{"".join(parts)}</details>'
    return Section(html, files, tuple(said))


def _table(found: Measured, axes: tuple[str, ...]) -> str:
    """The means: a row for each row of the plot."""
    heads = ["pictures", *columns(found)]
    rows = [(", ".join(group.labels.values()), group) for group in groups(found, axes)]
    head = "".join(f'<th scope="col">{_text(one)}</th>' for one in (", ".join(axes), *heads))
    body = "".join(
        f'<tr><th scope="row" dir="auto">{_text(label)}</th>'
        + "".join(f"<td>{_number(value)}</td>" for value in (group.pictures, *group.means.values()))
        + "</tr>"
        for label, group in [*rows, ("all", everything(found))]
    )
    return f"<table><caption>Means</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(text: str) -> str:
    return escape(one_line(text))


def _number(value: float | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.{_DIGITS}f}"
