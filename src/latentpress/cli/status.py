"""`latentpress status`."""

from typing import TYPE_CHECKING, Annotated

import typer

from latentpress.cli.estimate_options import LimitOption, OnlyOption, selection_of
from latentpress.cli.ledger_option import LedgerOption
from latentpress.cli.manifests import ManifestsArgument, OutputOption, for_each, print_heading, print_state, warn
from latentpress.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from latentpress.batch.folder import OutputFolder
    from latentpress.batch.state.status import Status

ExitCodeOption = Annotated[
    bool,
    typer.Option("--exit-code", help="Leave with 4 if pictures are missing, else 1 if some failed, else 0."),
]


def status_command(
    manifests: ManifestsArgument,
    output: OutputOption = None,
    ledger: LedgerOption = None,
    only: OnlyOption = None,
    limit: LimitOption = None,
    with_exit_code: ExitCodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show how much of each manifest is done, what failed and why, and how the last render went."""

    from latentpress.batch.state.status import FAILED

    def show(folder: "OutputFolder", several: bool) -> int:
        state = folder.status(selection_of(only, limit))
        _show(folder, state, several, as_json)
        failed = state.counts[FAILED]
        return exit_code(state.left - failed, failed) if with_exit_code else 0

    for_each(manifests, output, show, as_json=as_json, ledger=ledger, latest=True)


def exit_code(missing: int, failed: int) -> int:
    """What --exit-code says of a folder."""
    return 4 if missing else 1 if failed else 0


def _show(folder: "OutputFolder", state: "Status", several: bool, as_json: bool) -> None:
    from latentpress.batch.drift import drift_data, drift_line, drifts
    from latentpress.batch.rose import risen
    from latentpress.batch.state.quarantine import quarantine_line
    from latentpress.batch.state.report import plan_data
    from latentpress.batch.state.standing import failure_at, standing
    from latentpress.batch.state.status import EARLIER, FAILED, MISSING, OTHER

    table = state.plan.table
    failures = {job.title: failure_at(table, str(job.output)) for job in state.jobs(FAILED)}
    now = standing(folder.home, table)
    rose, apart = risen(table), drifts(table)
    orphans = folder.orphans(state)
    warnings = (*state.plan.warnings, *(f"warning: {line}; until then `render` refuses it" for line in folder.damage))
    warn(warnings)
    if as_json:
        listed = {name: [str(job.output) for job in state.jobs(name)] for name in (FAILED, EARLIER, OTHER)}
        taken = {str(state.plan.jobs[index - 1].output): why for index, why in state.taken.items()}
        data = (
            {"manifest": str(folder.manifest.path)}
            | plan_data(state, folder.path)
            | listed
            | {"taken": taken, "orphans": orphans, "warnings": list(warnings)}
        )
        data |= {"failures": [{"job": title, **one.data()} for title, one in failures.items()]}
        data |= {"renders": now.data(state.counts[MISSING])}
        data |= {"rose": [one.data() for one in rose], "drift": drift_data(apart)}
        print_json(data, one_line=several)
        return
    print_heading(folder, several)
    titles = {state.plan.jobs[index - 1].title for index in state.quarantined}
    for title, failure in failures.items():
        typer.echo(failure.line(title, quarantined=title in titles))
    for job in state.jobs(EARLIER):
        typer.echo(f"drawn by an earlier rule: {job.title}: {job.output}")
    for name in orphans:
        typer.echo(f"no longer in the manifest: {name}")
    print_state(state, folder)
    if state.quarantined:
        typer.echo(quarantine_line(len(state.quarantined)))
    for line in (now.line(state.counts[MISSING]), drift_line(apart), *(one.line() for one in rose)):
        if line is not None:
            typer.echo(line)
    if orphans:
        typer.echo(f"`latentpress tidy` moves what the manifest no longer has ({len(orphans):,}) aside")
