"""`latentpress show`: what made a picture, by what it says itself; or a manifest that makes it again."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from latentpress.cli.completion import bundles
from latentpress.cli.options import JsonOption, print_json


def show_command(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures that latentpress made.")],
    manifest: Annotated[
        bool, typer.Option("--manifest", help="Print a manifest that makes them again, and nothing else.")
    ] = False,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BUNDLE",
            autocompletion=bundles,
            help="For --manifest: a bundle they were made on, or `demo`; may be repeated.",
        ),
    ] = None,
    concept: Annotated[
        list[str] | None,
        typer.Option(metavar="TOKEN=FILE", help="For --manifest: a concept their bundle lacks; may be repeated."),
    ] = None,
    given: Annotated[
        list[Path] | None,
        typer.Option("--input", metavar="FILE", help="For --manifest: a picture they were given; may be repeated."),
    ] = None,
    losses: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="For --manifest: write the code of losses there that the ledger alone still has."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what made pictures: prompt, seed, settings, model, and whether they are still what was saved."""
    from latentpress.errors import UsageError
    from latentpress.rerender import Sources
    from latentpress.rerender.manifest_of import manifest_of
    from latentpress.rerender.shown import show_picture

    if manifest and as_json:
        raise UsageError("--manifest and --json are two answers; ask for one of them")
    if not manifest and (model or concept or given or losses):
        raise UsageError("--model, --concept, --input and --losses are for --manifest; add it, or leave them out")
    if manifest:
        text, warnings = manifest_of(
            images, Sources(tuple(model or ()), None, tuple(concept or ()), tuple(given or ())), losses
        )
        for warning in warnings:
            print(f"warning: {warning}", file=sys.stderr)
        typer.echo(text, nl=False)
        return
    pictures = [show_picture(path) for path in images]
    if as_json:
        print_json({"pictures": [picture.data() for picture in pictures]})
        return
    for picture in pictures:
        for line in picture.lines():
            typer.echo(line)
