"""Runs kept over time in a folder, a JSON file each, and what they say of each figure: the nightly regression check."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from latentpress.bench.kept import read_run
from latentpress.files import publish

_DIGITS = 3


def keep_run(folder: Path, run: Mapping[str, Any]) -> Path:
    """Write `run` into `folder` under its date, with a number where the minute has one already; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    date = re.sub(r"[^0-9TZ-]", "", str(run["conditions"]["date"]))
    content = (json.dumps(run, indent=1) + "\n").encode()
    number = 0
    while True:
        path = folder / f"{date}{f'-{number}' if number else ''}.json"
        try:
            publish(path, content)
        except FileExistsError:
            number += 1
        else:
            return path


def kept_runs(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The runs in `folder`, oldest first; raises UsageError for a file that is none."""
    found = [(path, read_run(path)) for path in sorted(folder.glob("*.json"))]
    return sorted(found, key=lambda one: (str(one[1]["conditions"]["date"]), len(one[0].name), one[0].name))


def alike(run: Mapping[str, Any], runs: Sequence[tuple[Path, dict[str, Any]]]) -> list[tuple[Path, dict[str, Any]]]:
    """Those of `runs` that measured the same bundle's shape, engine, threads, size and steps on the same device."""
    return [(path, other) for path, other in runs if _what(other) == _what(run)]


def history_lines(runs: Sequence[tuple[Path, dict[str, Any]]]) -> Iterator[str]:
    """A line for each run: its date, its program, and the median of each figure."""
    names = list(dict.fromkeys(name for _, run in runs for name, _ in _medians(run)))
    for path, run in runs:
        medians = dict(_medians(run))
        figures = ", ".join(f"{name} {medians[name]:.{_DIGITS}g}" for name in names if name in medians)
        busy = " (busy)" if run["machine"]["busy"] else ""
        yield f"{path.stem}{busy}: {figures}"


def save_history(runs: Sequence[tuple[Path, dict[str, Any]]], path: Path) -> None:
    """Each figure over the runs, in multiples of its first median; the suffix of `path` says which format."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plot = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(plot)
    axes = plot.subplots()
    names = list(dict.fromkeys(name for _, run in runs for name, _ in _medians(run)))
    for name in names:
        values = [dict(_medians(run)).get(name) for _, run in runs]
        first = next(value for value in values if value is not None)
        axes.plot(range(len(runs)), [None if v is None else v / first for v in values], marker="o", label=name)  # pyright: ignore
    axes.set(ylabel="to the first run", xticks=range(len(runs)))
    axes.set_xticklabels([path.stem for path, _ in runs], rotation=30, ha="right", fontsize=7)
    axes.legend(fontsize=7)
    plot.savefig(path, dpi=120)


def _medians(run: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for one in run["components"]:
        yield f"{one['component']} {one['rows']} ms", one["figure"]["median"]
    for one in run["scenarios"]:
        unit = "ms" if one["cold"] is not None else "images/s"
        yield f"{one['scenario']} {one['job']} {one['rows']} {unit}", one["figure"]["median"]


def _what(run: Mapping[str, Any]) -> tuple[object, ...]:
    names = ("bundle", "engine", "precision", "device", "threads")
    return (*(run[name] for name in names), json.dumps(run["settings"]["work"], sort_keys=True))
