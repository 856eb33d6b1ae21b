"""`latentpress sheet`."""

from typing import TYPE_CHECKING

import typer

from latentpress.cli.ledger_option import LedgerOption
from latentpress.cli.manifests import ManifestsArgument, OutputOption, for_each

if TYPE_CHECKING:
    from latentpress.batch.folder import OutputFolder


def sheet_command(manifests: ManifestsArgument, output: OutputOption = None, ledger: LedgerOption = None) -> None:
    """Draw the contact sheets of rendered manifests again."""

    def draw(folder: "OutputFolder", several: bool) -> None:
        typer.echo(folder.sheet())

    for_each(manifests, output, draw, ledger=ledger, latest=True)
