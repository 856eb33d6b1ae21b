"""The command line: reads arguments, calls the stages, prints. Heavy imports wait for the command that needs them."""

import sys
from typing import Annotated, NoReturn

import typer

from latentpress.cli.bench import bench_command
from latentpress.cli.cache import cache_app
from latentpress.cli.completion import check_shell
from latentpress.cli.concepts import concepts_app
from latentpress.cli.diff import diff_command
from latentpress.cli.doctor import doctor_command
from latentpress.cli.draw import DrawCommand, draw_placeholder
from latentpress.cli.engines import engines_command
from latentpress.cli.export import export_command
from latentpress.cli.failures import Failure, asks_for_json, failure_of
from latentpress.cli.gallery import gallery_command
from latentpress.cli.help import Command, Group
from latentpress.cli.inspect import inspect_command
from latentpress.cli.losses import losses_command
from latentpress.cli.measure import measure_command
from latentpress.cli.openai import openai_command
from latentpress.cli.pack import pack_command
from latentpress.cli.plan import plan_command
from latentpress.cli.rebuild import rebuild_command
from latentpress.cli.render import render_command
from latentpress.cli.report import report_command
from latentpress.cli.rerender import rerender_command
from latentpress.cli.results import results_command
from latentpress.cli.samplers import samplers_command
from latentpress.cli.schema import schema_command
from latentpress.cli.sheet import sheet_command
from latentpress.cli.show import show_command
from latentpress.cli.signals import interrupted, stop_on_signals
from latentpress.cli.status import status_command
from latentpress.cli.streams import open_streams
from latentpress.cli.tidy import tidy_command
from latentpress.cli.trust import trust_command
from latentpress.cli.verify import verify_command
from latentpress.cli.watch import watch_command
from latentpress.version import __version__

app = typer.Typer(
    help="Render manifests of Stable Diffusion jobs through exported ONNX engines.",
    cls=Group,
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
        check_shell(arguments)
        code = app(arguments, prog_name="latentpress", standalone_mode=False)
        if code == 130:  # what Typer makes of Ctrl-C
            return Failure(*interrupted()).tell(as_json=as_json)
        return code or 0
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception as error:
        if (failure := failure_of(error, arguments)) is None:
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
_RENDER, _WITHOUT = "Render manifests", "Render without a manifest"
_FOLDERS, _MODELS, _LISTS = "Look at what was rendered", "Models and engines", "Lists, and the cache"
for _name, _command, _panel in (
    ("plan", plan_command, _RENDER),
    ("render", render_command, _RENDER),
    ("status", status_command, _RENDER),
    ("watch", watch_command, _RENDER),
    ("report", report_command, _RENDER),
    ("sheet", sheet_command, _RENDER),
    ("tidy", tidy_command, _RENDER),
    ("trust", trust_command, _RENDER),
    ("draw", draw_placeholder, _WITHOUT),
    ("openai", openai_command, _WITHOUT),
    ("gallery", gallery_command, _FOLDERS),
    ("verify", verify_command, _FOLDERS),
    ("rebuild", rebuild_command, _FOLDERS),
    ("diff", diff_command, _FOLDERS),
    ("measure", measure_command, _FOLDERS),
    ("show", show_command, _FOLDERS),
    ("rerender", rerender_command, _FOLDERS),
    ("results", results_command, _FOLDERS),
    ("pack", pack_command, _FOLDERS),
    ("export", export_command, _MODELS),
    ("inspect", inspect_command, _MODELS),
    ("engines", engines_command, _MODELS),
    ("bench", bench_command, _MODELS),
    ("doctor", doctor_command, _MODELS),
    ("samplers", samplers_command, _LISTS),
    ("losses", losses_command, _LISTS),
    ("schema", schema_command, _LISTS),
):
    app.command(_name, cls=DrawCommand if _name == "draw" else Command, rich_help_panel=_panel)(_command)
app.add_typer(concepts_app, name="concepts", rich_help_panel=_MODELS)
app.add_typer(cache_app, name="cache", rich_help_panel=_LISTS)
