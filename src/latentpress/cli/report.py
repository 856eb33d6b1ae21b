"""`latentpress report`: what a night came to, in a few lines, as a page, and as JSON."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentpress.cli.ledger_option import LedgerOption
from latentpress.cli.manifests import OutputOption
from latentpress.cli.named import folder_of
from latentpress.cli.options import JsonOption, TargetArgument, print_json
from latentpress.cli.status import ExitCodeOption, exit_code

if TYPE_CHECKING:
    from latentpress.results.report import Report

# Of a page that is there, as much as is read to know whether it is a report.
_HEAD = 4096


def report_command(
    target: TargetArgument,
    output: OutputOption = None,
    ledger: LedgerOption = None,
    page: Annotated[
        Path | None,
        typer.Option("--page", metavar="FILE", help="Where the page goes. Default OUT/.latentpress/report.html."),
    ] = None,
    with_exit_code: ExitCodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say what a night came to, and write it as a page; from the output folder alone, also while a render runs."""
    from latentpress.batch.place import home_of
    from latentpress.files import OWN_FOLDER
    from latentpress.results.told import report_data, report_lines

    folder = folder_of(target, output)
    path = page or folder / OWN_FOLDER / "report.html"
    _check(path)
    report = _report(folder, home_of(folder, ledger))
    if as_json:
        if page is not None:
            _write(path, report)
        print_json(report_data(report) | {"page": str(path) if page is not None else None})
    else:  # told also where the page cannot be written
        for line in report_lines(report):
            typer.echo(line)
        _write(path, report)
        typer.echo(f"report: {path}")
    if with_exit_code and (code := exit_code(report.missing + report.gone[1], report.failed)):
        raise typer.Exit(code)


def _report(folder: Path, home: Path) -> "Report":
    from latentpress.batch.ledger.holder import holder
    from latentpress.errors import EnvironmentFailure
    from latentpress.results.report import report_of

    try:
        return report_of(folder, home)
    except EnvironmentFailure:  # the ledger is being written, for a while when a render begins
        if (pid := holder(home)) is None:
            raise
        raise EnvironmentFailure(f"{folder}: process {pid} writes its plan; ask again in a minute") from None


def _check(path: Path) -> None:
    """Raise UsageError where something else than an earlier report lies."""
    from latentpress.errors import UsageError
    from latentpress.files import read_regular
    from latentpress.results.page import MARK

    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--page {path}: must end with .html; the report is a page")
    if not os.path.lexists(path):
        return
    try:
        if MARK.encode() in read_regular(path, 1 << 30)[:_HEAD]:
            return
    except OSError:
        pass
    raise UsageError(f"{path}: is there, and is no report; move it away, or give another name with --page")


def _write(path: Path, report: "Report") -> None:
    from latentpress.errors import EnvironmentFailure
    from latentpress.files import write_durably
    from latentpress.results.page import report_html

    content = report_html(report, path.parent).encode(errors="backslashreplace")
    try:
        write_durably(path, content)
    except OSError as error:
        raise EnvironmentFailure(
            f"{path}: the page cannot be written ({error.strerror}); name another place with --page"
        ) from None
