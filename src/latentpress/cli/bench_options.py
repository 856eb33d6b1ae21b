"""The options of `latentpress bench`, and how their texts are read."""

import re
from pathlib import Path
from typing import Annotated

import typer

from latentpress.cli.completion import bundles
from latentpress.errors import UsageError

_SWEPT, _COMPARED = "Sweep", "Compare"

BenchBundle = Annotated[
    str | None, typer.Argument(metavar="BUNDLE", help="A bundle folder, or `demo`.", autocompletion=bundles)
]
SizeOption = Annotated[str | None, typer.Option(metavar="WxH", help="Pixels; default the bundle's own size.")]
BucketsOption = Annotated[str, typer.Option(metavar="N,N,...", help="UNet rows per call.")]
RepeatsOption = Annotated[int, typer.Option(min=1, help="Timed calls of each component and bucket.")]
SecondsOption = Annotated[float, typer.Option(min=0, help="Each scenario lasts at least; 0 for no whole pictures.")]
JobOption = Annotated[
    list[str] | None,
    typer.Option(metavar="KIND", help="plain, guided (a loss every fifth step) or img2img; may be repeated."),
]
EveryBucketOption = Annotated[
    bool, typer.Option("--every-bucket", help="Offline at all buckets, not only the fastest.")
]
StepsOption = Annotated[int, typer.Option(min=1, help="Steps of the whole pictures.")]
GuidanceOption = Annotated[float, typer.Option(min=0, help="Above 1 a picture takes two rows.")]
ColdOption = Annotated[bool, typer.Option("--cold", help="Also take apart the start of a process of its own.")]
FirstSessionOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PAGE", help="Write a Markdown page of doctor, parity, row test and figures, to paste elsewhere."
    ),
]
JsonFileOption = Annotated[str | None, typer.Option("--json", metavar="FILE|-", help="Write JSON; - is stdout.")]
PlotOption = Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw the figures.")]
SweepOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AXIS=N,N", help="engine, threads, size, steps or rows; may be repeated.", rich_help_panel=_SWEPT
    ),
]
TableOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the sweep as .csv, .md or .tex.", rich_help_panel=_SWEPT)
]
CompareOption = Annotated[
    tuple[Path, Path] | None,
    typer.Option(
        metavar="BEFORE AFTER", help="Compare two files of --json, measure nothing.", rich_help_panel=_COMPARED
    ),
]
HistoryOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Keep the run there, and compare with the one before.", rich_help_panel=_COMPARED),
]
FailSlowerOption = Annotated[
    str | None,
    typer.Option(metavar="N%", help="Exit 1 where a figure is slower by more.", rich_help_panel=_COMPARED),
]


def parse_share(text: str | None) -> float | None:
    """`5%` as 0.05; raises UsageError."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)%", text)
    if not found:
        raise UsageError(f"--fail-slower {text!r}: must be a percentage, e.g. 5%")
    return float(found[1]) / 100


def parse_buckets(text: str) -> list[int]:
    """`1,2,4,8` as rising numbers, each once; raises UsageError."""
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        found = []
    if not found or found[0] < 1 or found[-1] > 1024:
        raise UsageError(
            f"--buckets {text!r}: must be numbers of rows from 1 to 1024 with commas between, e.g. 1,2,4,8"
        )
    return found


def parse_size(text: str) -> tuple[int, int]:
    """`WxH` as (height, width), multiples of 8; raises UsageError."""
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    sides = (int(found[2]), int(found[1])) if found else (0, 0)
    if not all(side > 0 and side % 8 == 0 for side in sides):
        raise UsageError(f"--size {text!r}: must be WIDTHxHEIGHT in pixels, both multiples of 8, e.g. 512x512")
    return sides


def check_folder(path: Path) -> None:
    """Raise UsageError where a file cannot be written at `path` because its folder is not there."""
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist; make it, or write elsewhere")
