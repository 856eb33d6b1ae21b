"""`latentpress plan`."""

from typing import TYPE_CHECKING

import typer

from latentpress.cli.estimate_options import AnySpaceOption, LimitOption, OnlyOption, selection_of
from latentpress.cli.ledger_option import LedgerOption
from latentpress.cli.manifests import ManifestsArgument, OutputOption, for_each, print_heading, to_stderr, warn
from latentpress.cli.options import JsonOption, JsonTexts, print_json, print_lines
from latentpress.cli.render_options import (
    BatchRowsOption,
    EngineOption,
    MixedOption,
    RedrawOption,
    ReplaceOption,
    StrictOption,
    ThreadsOption,
)

if TYPE_CHECKING:
    from latentpress.batch.folder import OutputFolder
    from latentpress.batch.rehearsal import Rehearsal
    from latentpress.batch.state.status import Status


def plan_command(
    manifests: ManifestsArgument,
    output: OutputOption = None,
    ledger: LedgerOption = None,
    only: OnlyOption = None,
    limit: LimitOption = None,
    engine: EngineOption = None,
    batch_rows: BatchRowsOption = None,
    threads: ThreadsOption = None,
    strict: StrictOption = False,
    mixed: MixedOption = False,
    redraw: RedrawOption = False,
    replace: ReplaceOption = False,
    any_space: AnySpaceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check manifests and show what they would render, and what that takes."""
    from latentpress.batch.codes import untrusted_lines
    from latentpress.batch.executors.local import Settings
    from latentpress.batch.ledger.holder import occupied
    from latentpress.engines.choice import parse_engine

    choice = parse_engine(engine) if engine else None
    selection, settings = (
        selection_of(only, limit),
        Settings(choice, batch_rows, threads, strict=strict, allow_code=True),
    )

    def show(folder: "OutputFolder", several: bool) -> None:
        folder.check_bundles()
        state = folder.status(selection, redraw=redraw)
        warn(state.plan.warnings)
        found = folder.rehearse(
            settings,
            mixed=mixed,
            redraw=redraw,
            replace=replace,
            any_space=any_space,
            selection=selection,
            state=state,
        )
        warn(found.warnings)
        warn(tuple(untrusted_lines(found.state)))
        if (now := occupied(folder.path, folder.home)) is not None:
            to_stderr(f"warning: {now}")
        _show(folder, state, found, several, as_json)

    for_each(manifests, output, show, as_json=as_json, ledger=ledger)


def _show(folder: "OutputFolder", state: "Status", found: "Rehearsal", several: bool, as_json: bool) -> None:
    from latentpress.batch.estimate.lines import prospect_data, prospect_lines
    from latentpress.batch.state.listing import job_texts, plan_lines
    from latentpress.batch.state.quarantine import quarantine_line
    from latentpress.batch.state.report import counts_line, plan_data, remarks

    plan, prospect = state.plan, found.prospect
    if as_json:
        data = {"manifest": str(folder.manifest.path)} | plan_data(state, folder.path)
        data |= {"warnings": [*plan.warnings, *found.warnings]}
        data |= {"estimate": prospect_data(plan, prospect)}
        print_json(data | {"jobs": JsonTexts(job_texts(state))}, one_line=several)
        return
    print_heading(folder, several)
    print_lines(plan_lines(state))
    for line in prospect_lines(plan, prospect):
        typer.echo(line)
    typer.echo(counts_line(state, folder.path, prospect.disk.words))
    for line in remarks(state, folder.path):
        typer.echo(line)
    if state.quarantined:
        typer.echo(quarantine_line(len(state.quarantined)))
