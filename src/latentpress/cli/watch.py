"""`latentpress watch`."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Annotated

import typer

from latentpress.cli.ledger_option import LedgerOption
from latentpress.cli.manifests import OutputOption
from latentpress.cli.named import folder_of
from latentpress.cli.options import TargetArgument
from latentpress.cli.status import exit_code
from latentpress.errors import EnvironmentFailure, counted

# Failures, and quarantined pictures, that stand below the counts on a terminal, and at the end elsewhere.
_SHOWN = 5
_KEPT_OUT = 20


def watch_command(
    target: TargetArgument,
    output: OutputOption = None,
    ledger: LedgerOption = None,
    every: Annotated[
        float, typer.Option(min=0.1, max=3600, metavar="SECONDS", help="Seconds between two looks.")
    ] = 5.0,
) -> None:
    """Show how a render goes, until all is done or nobody renders; writes nothing."""
    from latentpress.batch.place import home_of

    folder = folder_of(target, output)
    home = home_of(folder, ledger)
    with _screen() as show:
        while True:
            lines, code = _look(folder, home)
            show(lines, code is not None)
            if code is not None:
                raise typer.Exit(code)
            time.sleep(every)


def _look(folder: Path, home: Path) -> tuple[list[str], int | None]:
    """What to show now, and the exit code if this was the last look."""
    from latentpress.batch.ledger.beside import beside
    from latentpress.batch.ledger.holder import holder
    from latentpress.batch.state.quarantine import recorded_quarantine
    from latentpress.batch.state.standing import failure_at, last_failures, ledger_of, recorded_counts, standing

    try:
        with beside(ledger_of(home)) as database:
            counts = recorded_counts(database)
            now = standing(home, database)
            retries = now.last.retries if now.last else None
            kept_out = recorded_quarantine(database, retries) if counts else frozenset[str]()
            failures = last_failures(database, _SHOWN) if counts else []
            below = [one.line() for one in failures if one.output not in kept_out]
            listed = sorted(kept_out)[:_KEPT_OUT]
            below += [failure_at(database, output).line(quarantined=True) for output in listed]
    except EnvironmentFailure:  # the ledger is being written, for a while when a render begins
        if (pid := holder(home)) is None:
            raise
        return [f"{folder}: process {pid} writes its plan"], None
    if counts is None:
        if now.pid:
            return [f"{folder}: process {now.pid} prepares to render"], None
        return [f"{folder}: nothing was rendered into it yet, and nobody renders"], 4
    total, done, failed = counts
    missing = total - done - failed
    quarantined = f", {len(kept_out):,} of them quarantined" if kept_out else ""
    lines = [
        f"{folder}: {done:,} of {counted(total, 'image')} done, {missing:,} missing, {failed:,} failed{quarantined}"
    ]
    lines += filter(None, [now.line(missing)])
    if len(kept_out) > len(listed):
        below.append(f"and {len(kept_out) - len(listed):,} more are quarantined")
    code = None if now.pid and (missing or now.end is None) else exit_code(missing, failed)
    return [*lines, *below], code


@contextlib.contextmanager
def _screen() -> Generator[Callable[[list[str], bool], None]]:
    """What shows lines, and hears whether they are the last.

    On a terminal they come in place of those before, elsewhere the first two as one line, if they changed, and the others at
    the end.
    """
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from rich.live import Live
        from rich.text import Text

        with Live(auto_refresh=False) as live:
            yield lambda lines, last: live.update(Text("\n".join(lines)), refresh=True)
        return
    said = ""

    def show(lines: list[str], last: bool) -> None:
        nonlocal said
        line = "; ".join(lines[:2])
        if line != said:
            typer.echo(line)
            said = line
        for line in lines[2:] if last else ():
            typer.echo(line)

    yield show
