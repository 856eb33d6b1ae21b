"""`latentpress plan`, `render`, `status`, `sheet` and `tidy`: a manifest and its output folder."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentpress.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from latentpress.batch.folder import OutputFolder
    from latentpress.batch.run import Outcome
    from latentpress.batch.status import Status

ManifestArgument = Annotated[Path, typer.Argument(metavar="MANIFEST", help="A YAML manifest.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Output folder; default out/NAME in the current directory."),
]


def plan_command(manifest: ManifestArgument, output: OutputOption = None, as_json: JsonOption = False) -> None:
    """Check a manifest and show what it would render."""
    from latentpress.batch.report import job_data, plan_data, plan_lines

    folder = opened(manifest, output)
    state = folder.status()
    _warn(state.plan.warnings)
    folder.refuse(state)
    if as_json:
        print_json(plan_data(state, folder.path) | {"jobs": list(job_data(state))})
        return
    for line in plan_lines(state):
        typer.echo(line)
    _state(state, folder)


def status_command(manifest: ManifestArgument, output: OutputOption = None, as_json: JsonOption = False) -> None:
    """Show how much of a manifest is done."""
    from latentpress.batch.report import plan_data
    from latentpress.batch.status import EARLIER, FAILED, OTHER

    folder = opened(manifest, output)
    state = folder.status()
    orphans = folder.orphans(state)
    _warn(state.plan.warnings)
    if as_json:
        listed = {name: [str(job.output) for job in state.jobs(name)] for name in (FAILED, EARLIER, OTHER)}
        taken = {str(state.plan.jobs[index - 1].output): why for index, why in state.taken.items()}
        print_json(plan_data(state, folder.path) | listed | {"taken": taken, "orphans": orphans})
        return
    for job in state.jobs(FAILED):
        typer.echo(f"failed: {job.title}: {job.output}")
    for job in state.jobs(EARLIER):
        typer.echo(f"drawn by an earlier rule: {job.title}: {job.output}")
    for name in orphans:
        typer.echo(f"no longer in the manifest: {name}")
    _state(state, folder)
    if orphans:
        typer.echo(f"`latentpress tidy` moves what the manifest no longer has ({len(orphans)}) aside")


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
        say=_to_stderr,
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


def sheet_command(manifest: ManifestArgument, output: OutputOption = None) -> None:
    """Draw the contact sheet of a rendered manifest again."""
    typer.echo(opened(manifest, output).sheet())


def opened(manifest: Path, output: Path | None) -> "OutputFolder":
    """The output folder of a manifest, which is read."""
    from latentpress.batch.folder import OutputFolder
    from latentpress.manifest.manifest import read_manifest

    return OutputFolder(read_manifest(manifest), output)


def _state(state: "Status", folder: "OutputFolder") -> None:
    from latentpress.batch.report import counts_line, remarks

    typer.echo(counts_line(state, folder.path))
    for line in remarks(state, folder.path):
        typer.echo(line)


def _warn(lines: tuple[str, ...]) -> None:
    for line in lines:
        _to_stderr(line)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
