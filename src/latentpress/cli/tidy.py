"""`latentpress tidy`: what output folders still hold of edited manifests."""

from typing import TYPE_CHECKING

import typer

from latentpress.cli.ledger_option import LedgerOption
from latentpress.cli.manifests import ManifestsArgument, OutputOption, for_each
from latentpress.errors import counted

if TYPE_CHECKING:
    from latentpress.batch.folder import OutputFolder


def tidy_command(manifests: ManifestsArgument, output: OutputOption = None, ledger: LedgerOption = None) -> None:
    """Move pictures that a manifest no longer has out of its folder, to .latentpress/replaced."""

    def tidy(folder: "OutputFolder", several: bool) -> None:
        count, room = folder.tidy()
        moved = f", moved to {room}" if room else ""
        typer.echo(f"{folder.path}: {counted(count, 'picture is', 'pictures are')} no longer in the manifest{moved}")

    for_each(manifests, output, tidy, ledger=ledger, latest=True)
