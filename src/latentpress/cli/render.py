"""`latentpress render`. Its options are aliases in modules beside this one, so that the signature is a list of them."""

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

import typer

from latentpress.cli.dry_run import Allowed, rehearse_each
from latentpress.cli.estimate_options import AnySpaceOption, DryRunOption, LimitOption, OnlyOption, selection_of
from latentpress.cli.ledger_option import LedgerOption
from latentpress.cli.manifests import ManifestsArgument, OutputOption, for_each, to_stderr
from latentpress.cli.options import JsonOption, print_json
from latentpress.cli.policy_options import (
    InProcessOption,
    MaxFailuresOption,
    RetriesOption,
    RetryOption,
    StopAfterOption,
    StopAtOption,
    policy_of,
)
from latentpress.cli.render_options import (
    AllowCodeOption,
    BatchRowsOption,
    DecodeBesideOption,
    EngineOption,
    GradientOption,
    KeepGoingOption,
    MixedOption,
    RedrawOption,
    ReplaceOption,
    StrictOption,
    ThreadsOption,
)
from latentpress.cli.telling import Rendering, Telling
from latentpress.cli.telling_options import LogFileOption, OnCompleteOption, QuietOption, VerboseOption
from latentpress.errors import counted

if TYPE_CHECKING:
    from latentpress.batch.executors.local import Settings
    from latentpress.batch.folder import OutputFolder
    from latentpress.batch.run import Outcome
    from latentpress.engines.engine import EngineChoice


def render_command(
    manifests: ManifestsArgument,
    output: OutputOption = None,
    ledger: LedgerOption = None,
    only: OnlyOption = None,
    limit: LimitOption = None,
    dry_run: DryRunOption = False,
    batch_rows: BatchRowsOption = None,
    threads: ThreadsOption = None,
    engine: EngineOption = None,
    decode_beside: DecodeBesideOption = False,
    strict: StrictOption = False,
    gradient: GradientOption = None,
    allow_code: AllowCodeOption = False,
    mixed: MixedOption = False,
    redraw: RedrawOption = False,
    replace: ReplaceOption = False,
    keep_going: KeepGoingOption = False,
    any_space: AnySpaceOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    log_file: LogFileOption = None,
    on_complete: OnCompleteOption = None,
    in_process: InProcessOption = False,
    max_failures: MaxFailuresOption = None,
    stop_after: StopAfterOption = None,
    stop_at: StopAtOption = None,
    retries: RetriesOption = None,
    retry: RetryOption = False,
    as_json: JsonOption = False,
) -> None:
    """Render what manifests lack, one after another; safe to interrupt and start again."""
    from latentpress.batch.executors.local import Engines, Settings

    (choice, by), own = _chosen(engine, gradient), not in_process
    settings = Settings(choice, batch_rows, threads, decode_beside, strict, own, allow_code=allow_code, gradient=by)
    telling = Telling(quiet=quiet, verbose=verbose, log_file=log_file, on_complete=on_complete)
    policy = policy_of(max_failures, stop_after, stop_at, retries)
    selection, allowed = selection_of(only, limit), Allowed(mixed, redraw, replace, any_space, policy, retry)
    if dry_run:
        rehearse_each(manifests, output, ledger, settings, selection, allowed, as_json)
        return

    def render(folder: "OutputFolder", several: bool) -> int:
        _head(folder, several=several and not quiet)
        with telling.render(folder) as rendering:
            outcome = rendering.outcome = folder.render(
                settings,
                **allowed._asdict(),
                selection=selection,
                progress=rendering.progress,
                say=telling.say,
                engines=engines,
            )
            _tell(folder, outcome, telling, rendering, several if as_json else None)
        return rendering.exit

    with closing(Engines()) as engines:  # stay open from one manifest to the next
        check = _checking(settings, allowed)
        for_each(manifests, output, render, as_json=as_json, check=check, keep_going=keep_going, ledger=ledger)


def _chosen(engine: str | None, gradient: str | None) -> "tuple[EngineChoice | None, EngineChoice | None]":
    """The engine that was asked for, and what is to compute the gradients of losses."""
    from latentpress.engines.choice import parse_engine, parse_gradient

    return parse_engine(engine) if engine else None, parse_gradient(gradient) if gradient else None


def _head(folder: "OutputFolder", *, several: bool) -> None:
    if several:
        to_stderr(f"==> {folder.manifest.path} <==")


def _checking(settings: "Settings", allowed: Allowed) -> "Callable[[OutputFolder], None]":
    """Asked of each of several folders before anything is rendered."""

    def check(folder: "OutputFolder") -> None:
        state = folder.status(redraw=allowed.redraw)
        folder.refuse(state, settings, mixed=allowed.mixed, replace=allowed.replace)

    return check


def _tell(
    folder: "OutputFolder", outcome: "Outcome", telling: Telling, rendering: Rendering, one_line: bool | None
) -> None:
    """What a render did, in the end; one_line: as JSON, on one line or several, None for people."""
    if outcome.summary.stopped:
        left = f"{counted(outcome.summary.left, 'picture is', 'pictures are')} left, and the same command goes on"
        to_stderr(f"stopped: {outcome.summary.stopped}; {left}")
    counts = {"done": outcome.summary.done, "skipped": outcome.summary.skipped, "failed": outcome.summary.failed}
    if one_line is not None:
        print_json(
            {"manifest": str(folder.manifest.path), "name": outcome.plan.name}
            | {"plan_hash": outcome.plan.plan_hash, "folder": str(folder.path)}
            | {"counts": counts, "taken": outcome.taken, "moved": outcome.moved}
            | {"sheet": str(outcome.sheet) if outcome.sheet else None, "sheets": list(map(str, outcome.sheets))}
            | {"warnings": list(outcome.warnings), "summary": rendering.data()},
            one_line=one_line,
        )
    elif not telling.quiet:
        kept_out = f", {outcome.summary.quarantined:,} quarantined" if outcome.summary.quarantined else ""
        said = "{}: {done:,} rendered, {skipped:,} already done, {failed:,} failed{}"
        typer.echo(said.format(folder.path, kept_out, **counts))
        for line in rendering.lines():
            typer.echo(line)
        for sheet in outcome.sheets:
            typer.echo(f"sheet: {sheet}")
