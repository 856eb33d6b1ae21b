"""The command line: reads arguments, calls the stages, prints. Heavy imports wait for the command that needs them."""

import errno
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from latentpress import __version__
from latentpress.cli.bench import bench_command
from latentpress.cli.concepts import concepts_app
from latentpress.cli.doctor import doctor_command
from latentpress.cli.engines import engines_command
from latentpress.cli.export import export_command
from latentpress.cli.inspect import inspect_command
from latentpress.cli.options import JsonOption, print_json
from latentpress.cli.samplers import samplers_command
from latentpress.errors import LatentpressError, ManifestError, UsageError

if TYPE_CHECKING:
    from latentpress.batch.plan import Plan
    from latentpress.batch.status import Status
    from latentpress.manifest.manifest import Manifest
    from latentpress.models import Models

app = typer.Typer(
    help="Render manifests of Stable Diffusion jobs through exported ONNX engines.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

# A drawn seed fits 32 bits, as the seeds of other tools do, so that it can be carried over to them.
SEED_BITS = 32

ManifestArgument = Annotated[Path, typer.Argument(metavar="MANIFEST", help="A YAML manifest.")]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="Output folder; default out/NAME.")]


def main() -> NoReturn:
    """Run the command line and leave with the exit code of what happened."""
    sys.exit(run_cli(sys.argv[1:]))


def run_cli(arguments: list[str]) -> int:
    """Run one command; every expected failure becomes a sentence on stderr and an exit code."""
    try:
        app(arguments, prog_name="latentpress")
    except SystemExit as stop:
        if stop.code == 130:  # what Typer makes of Ctrl-C
            return _fail("interrupted; the same command resumes", 130)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except ManifestError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except LatentpressError as error:
        return _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        return _fail(f"package {error.name} is missing; install it, e.g. pip install 'latentpress[cpu]'", 3)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        hint = "free some space, then run the same command" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        return _fail(f"{where}{error.strerror or error}{'; ' + hint if hint else ''}", 3)
    return 0


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"latentpress {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Render manifests of Stable Diffusion jobs through exported ONNX engines."""


@app.command("plan")
def plan_command(manifest: ManifestArgument, output: OutputOption = None, as_json: JsonOption = False) -> None:
    """Check a manifest and show what it would render."""
    from latentpress.batch.report import counts_line, job_data, plan_data, plan_lines

    _read, plan, folder, _ = _planned(manifest, output)
    state = _state(plan, folder)
    if as_json:
        print_json(plan_data(plan, state, folder) | {"jobs": job_data(plan, state)})
        return
    for line in plan_lines(plan, state):
        typer.echo(line)
    typer.echo(counts_line(plan, state, folder))


@app.command("status")
def status_command(manifest: ManifestArgument, output: OutputOption = None, as_json: JsonOption = False) -> None:
    """Show how much of a manifest is done."""
    from latentpress.batch.report import counts_line, plan_data

    _read, plan, folder, _ = _planned(manifest, output)
    state = _state(plan, folder)
    if as_json:
        print_json(plan_data(plan, state, folder) | {"failed": [str(job.output) for job in state.failed]})
        return
    for job in state.failed:
        typer.echo(f"failed: {job.title}: {job.output}")
    typer.echo(counts_line(plan, state, folder))


@app.command("render")
def render_command(
    manifest: ManifestArgument,
    output: OutputOption = None,
    batch_rows: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Rows the UNet takes at once; default what is fastest here.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the engines; default all cores.")] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="cpu, openvino, openvino:bf16, cuda, tensorrt or tensorrt-rtx; default the bundle's."),
    ] = None,
    decode_beside: Annotated[
        bool, typer.Option("--decode-beside", help="Decode beside the UNet's calls, not between them: for GPUs.")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Make a picture depend on its job alone: test the engine, and fix the rows it needs fixed."
        ),
    ] = False,
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Go on in a folder that was begun on another engine; its pictures stay.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Render what a manifest lacks; safe to interrupt and start again."""
    from latentpress.batch.ledger import Ledger, ledger_path
    from latentpress.batch.lock import locked
    from latentpress.batch.mixture import refuse_other_engine, refuse_other_rows
    from latentpress.batch.plan import build_plan
    from latentpress.batch.progress import progress_for
    from latentpress.batch.render import Summary, render
    from latentpress.batch.report import check_space
    from latentpress.batch.sheet import make_sheet
    from latentpress.batch.status import plan_status
    from latentpress.engines.choice import check_prompt_length, engine_of, parse_engine
    from latentpress.models import cache_dir

    choice = parse_engine(engine) if engine else None
    read, plan, folder, models = _planned(manifest, output, verify=True)
    for bundle in (models.bundle, *models.refiners.values()):
        check_prompt_length(
            engine_of(bundle.info, choice), plan.chunks
        )  # a refusal comes before the output folder does
    with locked(folder), Ledger(ledger_path(folder)) as ledger:
        # Seeds are drawn under the lock, or two first runs at once would each freeze their own.
        plan = build_plan(read, plan.bundle, ledger.draws(), _draw)
        rows = ledger.rows()
        pending = plan_status(plan, rows, folder)
        left = (*pending.missing, *pending.failed)
        if not mixed and (left or choice):
            refuse_other_engine(plan, rows, folder, str(engine_of(models.bundle.info, choice)))
        check_space(left, folder)
        warnings = list(plan.warnings)
        if left:
            from latentpress.runtime.bucket import DEFAULT_ROWS, choose_rows
            from latentpress.runtime.render import Renderer

            renderer = Renderer(
                models.bundle,
                batch_rows=batch_rows or DEFAULT_ROWS,
                threads=threads,
                refiners=tuple(models.refiners.values()),
                engine=choice,
                decode_beside=decode_beside,
                strict=strict,
            )
            if not mixed:
                refuse_other_rows(plan, rows, folder, renderer.row_rule)
            if renderer.warning:
                warnings.append(renderer.warning)
                typer.echo(renderer.warning, err=True)
            if batch_rows is None or renderer.fixed_rows:
                typer.echo(choose_rows(renderer, [job.request for job in left], cache_dir(), threads), err=True)
            summary = render(plan, renderer, folder, ledger, progress_for(sys.stderr))
        else:
            ledger.begin(plan)
            summary = Summary(0, len(plan.jobs), 0)
        sheet = make_sheet(plan, folder) if plan.sheet and not summary.failed else None
    counts = {"done": summary.done, "skipped": summary.skipped, "failed": summary.failed}
    if as_json:
        print_json(
            {"name": plan.name, "plan_hash": plan.plan_hash, "folder": str(folder), "counts": counts}
            | {"sheet": str(sheet) if sheet else None, "warnings": warnings}
        )
    else:
        typer.echo(f"{folder}: {summary.done} rendered, {summary.skipped} already done, {summary.failed} failed")
        if sheet:
            typer.echo(f"sheet: {sheet}")
    if summary.failed:
        raise typer.Exit(1)


@app.command("sheet")
def sheet_command(manifest: ManifestArgument, output: OutputOption = None) -> None:
    """Draw the contact sheet of a rendered manifest again."""
    from latentpress.batch.lock import locked
    from latentpress.batch.sheet import make_sheet

    _read, plan, folder, _ = _planned(manifest, output)
    state = _state(plan, folder)
    if state.missing or state.failed:
        count = len(state.missing) + len(state.failed)
        raise UsageError(f"{folder}: {count} of {len(plan.jobs)} images are not done; render the manifest first")
    with locked(folder):
        typer.echo(make_sheet(plan, folder))


# Registered here, in the order in which the help lists them.
app.command("export")(export_command)
app.add_typer(concepts_app, name="concepts")
app.command("samplers")(samplers_command)
app.command("bench")(bench_command)
app.command("inspect")(inspect_command)
app.command("engines")(engines_command)
app.command("doctor")(doctor_command)


def _planned(path: Path, output: Path | None, *, verify: bool = False) -> "tuple[Manifest, Plan, Path, Models]":
    """Read and plan a manifest on its bundles, with the seeds an earlier run froze. Leaves nothing behind."""
    from latentpress.batch.ledger import Ledger, ledger_path
    from latentpress.batch.plan import build_plan
    from latentpress.manifest.manifest import read_manifest
    from latentpress.models import cache_dir, facts_of, models_for

    manifest = read_manifest(path)
    folder = output or path.parent / "out" / manifest.name
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file, and the output must be a folder; choose another with -o")
    models = models_for(manifest, cache_dir(), verify=verify)
    frozen: dict[str, int] = {}
    if ledger_path(folder).exists():
        with Ledger(ledger_path(folder)) as ledger:
            frozen = ledger.draws()
    plan = build_plan(manifest, facts_of(models), frozen, _draw)
    for warning in plan.warnings:
        print(warning, file=sys.stderr)
    return manifest, plan, folder, models


def _draw() -> int:
    return secrets.randbits(SEED_BITS)


def _state(plan: "Plan", folder: Path) -> "Status":
    from latentpress.batch.ledger import Ledger, ledger_path
    from latentpress.batch.status import plan_status

    if not ledger_path(folder).exists():
        return plan_status(plan, {}, folder)
    with Ledger(ledger_path(folder)) as ledger:
        return plan_status(plan, ledger.rows(), folder)
