"""`latentpress sheet`."""

import typer

from latentpress.cli.manifests import ManifestArgument, OutputOption, opened


def sheet_command(manifest: ManifestArgument, output: OutputOption = None) -> None:
    """Draw the contact sheet of a rendered manifest again."""
    typer.echo(opened(manifest, output).sheet())
