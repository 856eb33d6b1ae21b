"""The option `--ledger` of the commands that open an output folder."""

from pathlib import Path
from typing import Annotated

import typer

LedgerOption = Annotated[
    Path | None,
    typer.Option(
        "--ledger",
        metavar="DIR",
        help="Keep lock and ledger in a folder of DIR, for an output folder on a drive without locks; remembered. "
        "LATENTPRESS_LEDGER names one for all folders that have no ledger yet.",
    ),
]
