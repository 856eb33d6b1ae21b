"""`latentpress schema`: the manifest's JSON Schema, which editors complete manifests by."""

import typer


def schema_command() -> None:
    """Print the JSON Schema of manifests, for an editor."""
    from latentpress.manifest.published import published_schema

    typer.echo(published_schema(), nl=False)
