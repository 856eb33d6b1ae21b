"""`latentpress diff`: what differs between two folders with pictures, or two pictures."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from latentpress.cli.options import JsonOption, print_json

# What differs, as diff(1) has it.
DIFFERS = 1


def diff_command(
    a: Annotated[Path, typer.Argument(metavar="A", help="A folder with pictures, or a picture.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="What to compare it with, of the same kind.")],
    close: Annotated[
        float, typer.Option(min=0, help="PSNR in dB from which on pictures are close and not different.")
    ] = 40.0,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A new .png: the pairs that differ, worst first.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the pictures of two folders, or two pictures."""
    from latentpress.compare import compare
    from latentpress.compare.pair import CLOSE, DIFFERENT
    from latentpress.compare.sheet import check_free, write_sheet
    from latentpress.measures.likeness import structural_similarity

    if sheet is not None:
        check_free(sheet)
    report = compare(a, b, close=close)
    if report.counts[CLOSE] + report.counts[DIFFERENT] and structural_similarity() is None:
        note = "note: SSIM is left out, package scikit-image is missing; pip install 'latentpress[diff]' adds it"
        print(note, file=sys.stderr)
    drawn = write_sheet(report, sheet) if sheet is not None else 0
    if as_json:
        print_json(report.data() | {"sheet": str(sheet) if drawn else None})
    else:
        for line in report.lines():
            typer.echo(line)
        if sheet is not None:
            which = f"{sheet}, {drawn:,} of {len(report.unequal):,} pairs" if drawn else "none, no pair differs"
            typer.echo(f"sheet: {which}")
    if not report.equal:
        raise typer.Exit(DIFFERS)
