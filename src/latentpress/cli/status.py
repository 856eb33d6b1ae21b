"""`latentpress status`."""

from typing import TYPE_CHECKING

import typer

from latentpress.cli.estimate_options import LimitOption, OnlyOption, selection_of
from latentpress.cli.ledger_option import LedgerOption
from latentpress.cli.manifests import ManifestsArgument, OutputOption, for_each, print_heading, print_state, warn
from latentpress.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from latentpress.batch.folder import OutputFolder
    from latentpress.batch.selection import Selection


def status_command(
    manifests: ManifestsArgument,
    output: OutputOption = None,
    ledger: LedgerOption = None,
    only: OnlyOption = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how much of each manifest is done."""

    def show(folder: "OutputFolder", several: bool) -> None:
        _show(folder, several, as_json, selection_of(only, limit))

    for_each(manifests, output, show, ledger=ledger)


def _show(folder: "OutputFolder", several: bool, as_json: bool, selection: "Selection") -> None:
    from latentpress.batch.state.report import plan_data
    from latentpress.batch.state.status import EARLIER, FAILED, OTHER

    state = folder.status(selection)
    orphans = folder.orphans(state)
    warn(state.plan.warnings)
    if as_json:
        listed = {name: [str(job.output) for job in state.jobs(name)] for name in (FAILED, EARLIER, OTHER)}
        taken = {str(state.plan.jobs[index - 1].output): why for index, why in state.taken.items()}
        data = plan_data(state, folder.path) | listed | {"taken": taken, "orphans": orphans}
        print_json(data, one_line=several)
        return
    print_heading(folder, several)
    for job in state.jobs(FAILED):
        typer.echo(f"failed: {job.title}: {job.output}")
    for job in state.jobs(EARLIER):
        typer.echo(f"drawn by an earlier rule: {job.title}: {job.output}")
    for name in orphans:
        typer.echo(f"no longer in the manifest: {name}")
    print_state(state, folder)
    if orphans:
        typer.echo(f"`latentpress tidy` moves what the manifest no longer has ({len(orphans)}) aside")
