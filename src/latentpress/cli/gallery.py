"""`latentpress gallery`: output folders as a page that opens from the disk."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from latentpress.cli.ledger_option import LedgerOption
from latentpress.cli.options import JsonOption, print_json

# Of pictures that cannot be shown, as many are named.
_NAMED = 5


def gallery_command(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="An output folder.")],
    out2: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[OUT2]...", help="Others, to be shown beside it.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Where it goes. Default OUT/.latentpress/gallery."),
    ] = None,
    ledger: LedgerOption = None,
    measures: Annotated[
        bool, typer.Option("--measures", help="Measure the pictures, and show plots and means above the grid.")
    ] = False,
    by: Annotated[
        str | None, typer.Option(metavar="AXIS[,AXIS]", help="The rows of --measures; default the first axis.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="AXIS=VALUE", help="Of --measures: compare each picture with the one that has this."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a page to look through pictures, from output folders alone; opens from the disk, also while a render runs."""
    from latentpress.batch.place import LEDGER, home_of
    from latentpress.errors import EnvironmentFailure, UsageError, one_line
    from latentpress.gallery import make_gallery
    from latentpress.gallery.measures import Asked

    if (by or against) and not measures:
        raise UsageError(f"--{'by' if by else 'against'} is of the measures; add --measures")
    asked = None
    if measures:
        import matplotlib  # noqa: F401  # pyright: ignore[reportUnusedImport]

        axes = tuple(one.strip() for one in (by or "").split(",") if one.strip())
        asked = Asked(axes, tuple(against or ()))
    try:
        table = home_of(out, ledger) / LEDGER if ledger else None
        made = make_gallery([out, *(out2 or [])], output, table, _Progress(), asked)
    except OSError as error:
        place = output or out
        raise EnvironmentFailure(
            f"{error.filename or place}: the gallery cannot be written ({error.strerror}); name another place with -o"
        ) from None
    if as_json:
        print_json(made.data())
        return
    for path, why in made.faults[:_NAMED]:
        typer.echo(f"warning: {one_line(str(path))}: {why}; `latentpress verify` says more", err=True)
    if len(made.faults) > _NAMED:
        typer.echo(f"warning: and {len(made.faults) - _NAMED:,} more", err=True)
    for line in made.said:
        typer.echo(line, err=True)
    counts = ", ".join(f"{count:,} {state}" for state, count in made.counts.items() if count)
    typer.echo(f"{counts}; {made.thumbnails:,} thumbnails made")
    typer.echo(f"gallery: {made.page}")


class _Progress:
    """Lines on stderr while there is something to wait for: on a terminal one that changes."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._every = 0.2 if self._terminal else 10.0
        self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last < self._every and not (done == total and self._terminal):
            return
        self._last = now
        line = f"{done:,}/{total:,} thumbnails"
        if self._terminal:
            print(f"\r{line}", end="" if done < total else "\n", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)
