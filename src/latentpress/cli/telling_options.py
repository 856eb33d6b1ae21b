"""The options of `latentpress render` that say what it tells of itself, and to whom."""

from pathlib import Path
from typing import Annotated

import typer

from latentpress.cli.help import TELLING_PANEL

QuietOption = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print warnings, failures and errors alone.", rich_help_panel=TELLING_PANEL),
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print a line for each picture.", rich_help_panel=TELLING_PANEL)
]
LogFileOption = Annotated[
    Path | None,
    typer.Option(
        "--log-file",
        metavar="FILE",
        help="Append what happens to this file, as JSON lines with times.",
        rich_help_panel=TELLING_PANEL,
    ),
]
OnCompleteOption = Annotated[
    str | None,
    typer.Option(
        "--on-complete",
        envvar="LATENTPRESS_ON_COMPLETE",
        metavar="COMMAND|URL",
        rich_help_panel=TELLING_PANEL,
        help="A shell command, or an http(s) URL for a POST, that is told of the end of each render.",
    ),
]
