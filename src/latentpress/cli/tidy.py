"""`latentpress tidy`: what an output folder still holds of an edited manifest."""

import typer

from latentpress.cli.manifests import ManifestArgument, OutputOption, opened


def tidy_command(manifest: ManifestArgument, output: OutputOption = None) -> None:
    """Move pictures that a manifest no longer has out of its folder, to .latentpress/replaced."""
    folder = opened(manifest, output)
    count, room = folder.tidy()
    moved = f", moved to {room}" if room else ""
    typer.echo(f"{folder.path}: {count} pictures are no longer in the manifest{moved}")
