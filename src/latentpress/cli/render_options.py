"""The options of `latentpress render` that say how this machine renders and what may be done with what is there."""

from typing import Annotated

import typer

BatchRowsOption = Annotated[
    int | None, typer.Option(min=1, max=1024, help="UNet rows per call; default what is fastest here.")
]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="Threads of the engines; default all cores.")]
EngineOption = Annotated[str | None, typer.Option(help="{ENGINES}; default the bundle's.")]
DecodeBesideOption = Annotated[
    bool, typer.Option("--decode-beside", help="Run the VAE decoder in parallel with the UNet (for GPUs).")
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Make a picture depend on its job alone: "
        "test the engine and pin its batch size if its results depend on it.",
    ),
]
MixedOption = Annotated[
    bool, typer.Option("--mixed", help="Continue in a folder begun on another engine; keep its pictures.")
]
RedrawOption = Annotated[
    bool,
    typer.Option(
        "--redraw", help="Draw anew what an earlier rule (docs/rules.md) or another export drew, not keep it."
    ),
]
ReplaceOption = Annotated[
    bool,
    typer.Option("--replace", help="Move files that are not this folder's pictures out of the way, to .latentpress/."),
]
KeepGoingOption = Annotated[
    bool,
    typer.Option("--keep-going", help="Of several manifests render those without mistakes, though others have some."),
]
