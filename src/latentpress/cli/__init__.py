"""The command line: reads arguments, calls the stages, prints. Heavy imports wait for the command that needs them."""

import sys
from typing import Annotated, NoReturn

import typer

from latentpress.cli.bench import bench_command
from latentpress.cli.cache import cache_app
from latentpress.cli.concepts import concepts_app
from latentpress.cli.diff import diff_command
from latentpress.cli.doctor import doctor_command
from latentpress.cli.draw import DrawCommand, draw_placeholder
from latentpress.cli.engines import engines_command
from latentpress.cli.export import export_command
from latentpress.cli.failures import Failure, asks_for_json, failure_of
from latentpress.cli.inspect import inspect_command
from latentpress.cli.openai import openai_command
from latentpress.cli.options import EngineCommand
from latentpress.cli.plan import plan_command
from latentpress.cli.rebuild import rebuild_command
from latentpress.cli.render import render_command
from latentpress.cli.report import report_command
from latentpress.cli.rerender import rerender_command
from latentpress.cli.results import results_command
from latentpress.cli.samplers import samplers_command
from latentpress.cli.schema import schema_command
from latentpress.cli.sheet import sheet_command
from latentpress.cli.signals import interrupted, stop_on_signals
from latentpress.cli.status import status_command
from latentpress.cli.streams import open_streams
from latentpress.cli.tidy import tidy_command
from latentpress.cli.verify import verify_command
from latentpress.cli.watch import watch_command
from latentpress.version import __version__

app = typer.Typer(
    help="Render manifests of Stable Diffusion jobs through exported ONNX engines.",
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def main() -> NoReturn:
    """Run the command line and leave with the exit code of what happened."""
    arguments = sys.argv[1:]
    open_streams(arguments)
    stop_on_signals()
    sys.exit(run_cli(arguments))


def run_cli(arguments: list[str]) -> int:
    """Run one command; every expected failure becomes a sentence on stderr and an exit code."""
    as_json = asks_for_json(arguments)
    try:
        code = app(arguments, prog_name="latentpress", standalone_mode=False)
        if code == 130:  # what Typer makes of Ctrl-C
            return Failure(*interrupted()).tell(as_json=as_json)
        return code or 0
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception as error:
        if (failure := failure_of(error)) is None:
            raise
        return failure.tell(as_json=as_json)


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


# Registered here, in the order in which the help lists them.
app.command("plan", cls=EngineCommand)(plan_command)
app.command("status")(status_command)
app.command("watch")(watch_command)
app.command("report")(report_command)
app.command("render", cls=EngineCommand)(render_command)
app.command("openai", cls=EngineCommand)(openai_command)
app.command("draw", cls=DrawCommand)(draw_placeholder)
app.command("sheet")(sheet_command)
app.command("tidy")(tidy_command)
app.command("verify")(verify_command)
app.command("rebuild")(rebuild_command)
app.command("diff")(diff_command)
app.command("rerender", cls=EngineCommand)(rerender_command)
app.command("results")(results_command)
app.command("export", cls=EngineCommand)(export_command)
app.add_typer(concepts_app, name="concepts")
app.add_typer(cache_app, name="cache")
app.command("samplers")(samplers_command)
app.command("schema")(schema_command)
app.command("bench")(bench_command)
app.command("inspect")(inspect_command)
app.command("engines", cls=EngineCommand)(engines_command)
app.command("doctor")(doctor_command)
