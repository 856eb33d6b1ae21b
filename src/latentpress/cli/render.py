"""`latentpress render`. Its options are aliases in modules beside this one, so that the signature is a list of them."""

import sys
from typing import TYPE_CHECKING

import typer

from latentpress.cli.estimate_options import AnySpaceOption
from latentpress.cli.ledger_option import LedgerOption
from latentpress.cli.manifests import ManifestsArgument, OutputOption, for_each, to_stderr
from latentpress.cli.options import JsonOption, print_json
from latentpress.cli.render_options import (
    BatchRowsOption,
    DecodeBesideOption,
    EngineOption,
    KeepGoingOption,
    MixedOption,
    RedrawOption,
    ReplaceOption,
    StrictOption,
    ThreadsOption,
)

if TYPE_CHECKING:
    from latentpress.batch.folder import OutputFolder
    from latentpress.batch.run import Outcome


def render_command(
    manifests: ManifestsArgument,
    output: OutputOption = None,
    ledger: LedgerOption = None,
    batch_rows: BatchRowsOption = None,
    threads: ThreadsOption = None,
    engine: EngineOption = None,
    decode_beside: DecodeBesideOption = False,
    strict: StrictOption = False,
    mixed: MixedOption = False,
    redraw: RedrawOption = False,
    replace: ReplaceOption = False,
    keep_going: KeepGoingOption = False,
    any_space: AnySpaceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Render what manifests lack, one after another; safe to interrupt and start again."""
    from latentpress.batch.executors.local import Engines, Settings
    from latentpress.batch.progress import progress_for
    from latentpress.engines.choice import parse_engine

    choice = parse_engine(engine) if engine else None
    settings = Settings(choice, batch_rows, threads, decode_beside, strict)
    engines = Engines()  # stay open from one manifest to the next

    def check(folder: "OutputFolder") -> None:
        state = folder.status()
        if not replace:
            folder.refuse(state)

    def render(folder: "OutputFolder", several: bool) -> int:
        if several:
            to_stderr(f"==> {folder.manifest.path} <==")
        outcome = folder.render(
            settings,
            mixed=mixed,
            redraw=redraw,
            replace=replace,
            any_space=any_space,
            progress=progress_for(sys.stderr),
            say=to_stderr,
            engines=engines,
        )
        _tell(outcome, folder, as_json, several)
        return 1 if outcome.summary.failed else 0

    for_each(manifests, output, render, check=check, keep_going=keep_going, ledger=ledger)


def _tell(outcome: "Outcome", folder: "OutputFolder", as_json: bool, several: bool) -> None:
    """What a render did, in the end."""
    counts = {"done": outcome.summary.done, "skipped": outcome.summary.skipped, "failed": outcome.summary.failed}
    if as_json:
        print_json(
            {"name": outcome.plan.name, "plan_hash": outcome.plan.plan_hash, "folder": str(folder.path)}
            | {"counts": counts, "taken": outcome.taken, "moved": outcome.moved}
            | {"sheet": str(outcome.sheet) if outcome.sheet else None}
            | {"warnings": list(outcome.warnings)},
            one_line=several,
        )
        return
    typer.echo("{}: {done} rendered, {skipped} already done, {failed} failed".format(folder.path, **counts))
    if outcome.sheet:
        typer.echo(f"sheet: {outcome.sheet}")
