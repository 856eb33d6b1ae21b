"""The options of `latentpress render` that say how this machine renders and what may be done with what is there."""

from typing import Annotated

import typer

from latentpress.cli.completion import engine_names, gradient_names
from latentpress.cli.environment import ENGINE, THREADS
from latentpress.cli.help import ENGINE_PANEL, FAILURE_PANEL, THERE_PANEL

BatchRowsOption = Annotated[
    int | None,
    typer.Option(
        min=1, max=1024, help="UNet rows per call; default what is fastest here.", rich_help_panel=ENGINE_PANEL
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1, envvar=THREADS, help="Threads of the engines; default all cores.", rich_help_panel=ENGINE_PANEL
    ),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        envvar=ENGINE,
        autocompletion=engine_names,
        metavar="ENGINE",
        help="{ENGINES}; default the bundle's.",
        rich_help_panel=ENGINE_PANEL,
    ),
]
DecodeBesideOption = Annotated[
    bool,
    typer.Option(
        "--decode-beside",
        help="Run the VAE decoder in parallel with the UNet (for GPUs).",
        rich_help_panel=ENGINE_PANEL,
    ),
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Make a picture depend on its job alone: "
        "test the engine and pin its batch size if its results depend on it.",
        rich_help_panel=ENGINE_PANEL,
    ),
]
GradientOption = Annotated[
    str | None,
    typer.Option(
        autocompletion=gradient_names,
        metavar="ENGINE",
        help="What computes the gradients of losses: cpu, openvino, openvino:bf16 or torch; default the engine, in float32.",
        rich_help_panel=ENGINE_PANEL,
    ),
]
AllowCodeOption = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Run the code of losses of your own, also of those that you do not `trust`.",
        rich_help_panel=ENGINE_PANEL,
    ),
]
MixedOption = Annotated[
    bool,
    typer.Option(
        "--mixed",
        help="Continue in a folder begun on another engine; keep its pictures.",
        rich_help_panel=THERE_PANEL,
    ),
]
RedrawOption = Annotated[
    bool,
    typer.Option(
        "--redraw",
        help="Draw anew what an earlier rule (docs/rules.md) or another export drew, not keep it.",
        rich_help_panel=THERE_PANEL,
    ),
]
ReplaceOption = Annotated[
    bool,
    typer.Option(
        "--replace",
        help="Move files that are not this folder's pictures out of the way, to .latentpress/.",
        rich_help_panel=THERE_PANEL,
    ),
]
KeepGoingOption = Annotated[
    bool,
    typer.Option(
        "--keep-going",
        help="Of several manifests render those without mistakes, though others have some.",
        rich_help_panel=FAILURE_PANEL,
    ),
]
