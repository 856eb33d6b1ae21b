"""The options of `latentpress render` that say what it tells of itself, and to whom."""

from pathlib import Path
from typing import Annotated

import typer

QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings, failures and errors alone.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Print a line for each picture.")]
LogFileOption = Annotated[
    Path | None, typer.Option("--log-file", help="Append what happens to this file, as JSON lines with times.")
]
OnCompleteOption = Annotated[
    str | None,
    typer.Option(
        "--on-complete",
        envvar="LATENTPRESS_ON_COMPLETE",
        help="A shell command, or an http(s) URL for a POST, that is told of the end of each render.",
    ),
]
