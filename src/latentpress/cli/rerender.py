"""`latentpress rerender`: makes pictures again from their own metadata, and compares."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from latentpress.cli.completion import bundles, engine_names
from latentpress.cli.manifests import to_stderr
from latentpress.cli.options import JsonOption, print_json
from latentpress.cli.render_options import AllowCodeOption, ThreadsOption


def rerender_command(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures that latentpress made.")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BUNDLE", autocompletion=bundles, help="A bundle they were made on, or `demo`; may be repeated."
        ),
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(metavar="MANIFEST", help="Its bundles, with its concepts, and its given pictures.")
    ] = None,
    concept: Annotated[
        list[str] | None,
        typer.Option(metavar="TOKEN=FILE", help="A concept that their bundle lacks; may be repeated."),
    ] = None,
    given: Annotated[
        list[Path] | None,
        typer.Option(
            "--input", metavar="FILE", help="A picture, a mask or a loss's file they were given; may be repeated."
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="ENGINE", autocompletion=engine_names, help="{ENGINES}; default the one that each picture names."
        ),
    ] = None,
    threads: ThreadsOption = None,
    allow_code: AllowCodeOption = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A new .png for the one picture, made again.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make pictures again from their own metadata, and say whether they are equal, or why not."""
    from latentpress.errors import UsageError
    from latentpress.files import publish
    from latentpress.rerender import Sources, rerender_pictures

    if output is not None:
        if len(images) != 1:
            raise UsageError(f"-o {output}: is one file, and {len(images):,} pictures are asked for; give one picture")
        if output.suffix.lower() != ".png" or os.path.lexists(output):
            raise UsageError(f"-o {output}: give the name of a .png that does not exist yet; nothing is overwritten")
    sources = Sources(tuple(model or ()), manifest, tuple(concept or ()), tuple(given or ()))
    results = []
    made = partial(rerender_pictures, engine=engine, threads=threads, allow_code=allow_code, say=to_stderr)
    for again in made(images, sources):
        results.append(again)
        if not as_json:
            print(again.line, file=sys.stdout if again.png else sys.stderr)
        if output is not None and again.png is not None:
            publish(output, again.png)
    if as_json:
        print_json({"pictures": [again.data() for again in results]})
    if code := max((again.exit_code for again in results), default=0):
        raise typer.Exit(code)
