"""`latentpress render`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from latentpress.cli.manifests import ManifestArgument, OutputOption, opened, to_stderr
from latentpress.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from latentpress.batch.folder import OutputFolder
    from latentpress.batch.run import Outcome


def render_command(
    manifest: ManifestArgument,
    output: OutputOption = None,
    batch_rows: Annotated[
        int | None, typer.Option(min=1, max=1024, help="UNet rows per call; default what is fastest here.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the engines; default all cores.")] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="{ENGINES}; default the bundle's."),
    ] = None,
    decode_beside: Annotated[
        bool, typer.Option("--decode-beside", help="Run the VAE decoder in parallel with the UNet (for GPUs).")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Make a picture depend on its job alone: "
            "test the engine and pin its batch size if its results depend on it.",
        ),
    ] = False,
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Continue in a folder begun on another engine; keep its pictures.")
    ] = False,
    redraw: Annotated[
        bool,
        typer.Option(
            "--redraw", help="Draw anew what an earlier rule (docs/rules.md) or another export drew, not keep it."
        ),
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Move files that are not this folder's pictures out of the way, to .latentpress/."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Render what a manifest lacks; safe to interrupt and start again."""
    from latentpress.batch.executors.local import Settings
    from latentpress.batch.progress import progress_for
    from latentpress.engines.choice import parse_engine

    choice = parse_engine(engine) if engine else None
    folder = opened(manifest, output)
    outcome = folder.render(
        Settings(choice, batch_rows, threads, decode_beside, strict),
        mixed=mixed,
        redraw=redraw,
        replace=replace,
        progress=progress_for(sys.stderr),
        say=to_stderr,
    )
    _tell(outcome, folder, as_json)
    if outcome.summary.failed:
        raise typer.Exit(1)


def _tell(outcome: "Outcome", folder: "OutputFolder", as_json: bool) -> None:
    """What a render did, in the end."""
    counts = {"done": outcome.summary.done, "skipped": outcome.summary.skipped, "failed": outcome.summary.failed}
    if as_json:
        print_json(
            {"name": outcome.plan.name, "plan_hash": outcome.plan.plan_hash, "folder": str(folder.path)}
            | {"counts": counts, "taken": outcome.taken, "moved": outcome.moved}
            | {"sheet": str(outcome.sheet) if outcome.sheet else None}
            | {"warnings": list(outcome.warnings)}
        )
        return
    typer.echo("{}: {done} rendered, {skipped} already done, {failed} failed".format(folder.path, **counts))
    if outcome.sheet:
        typer.echo(f"sheet: {outcome.sheet}")
