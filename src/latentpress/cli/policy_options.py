"""Options of `render` that say what becomes of a run in which something fails."""

from typing import Annotated

import typer

InProcessOption = Annotated[
    bool,
    typer.Option(
        "--in-process",
        envvar="LATENTPRESS_IN_PROCESS",
        help="Run the engine in this process, and not in one of its own that may die without ending the run.",
    ),
]
