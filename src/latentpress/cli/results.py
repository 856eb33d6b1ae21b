"""`latentpress results`: what is known of a folder's pictures, as a table."""

from pathlib import Path
from typing import Annotated

import typer

from latentpress.cli.options import FolderArgument
from latentpress.errors import counted


def results_command(
    out: FolderArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="A .jsonl or .parquet file; default JSON lines on stdout."),
    ] = None,
    image_folder: Annotated[
        bool, typer.Option("--image-folder", help="Write OUT/metadata.jsonl, with which `datasets` loads the folder.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Write over FILE.")] = False,
) -> None:
    """List what is known of a folder's pictures, one row each."""
    from latentpress.errors import one_line
    from latentpress.results import json_lines, result_rows, write_image_folder, write_table

    if output is not None:
        count = write_table(result_rows(out), output, replace=replace)
        typer.echo(f"{output}: {counted(count, 'row')}")
    if image_folder:
        written = write_image_folder(out)
        typer.echo(f"{written.path}: {counted(written.pictures, 'picture')}, {written.left_out} left out")
        if written.splits is not None:
            typer.echo(
                f"names such as {one_line(written.splits)} make datasets sort pictures into splits; "
                'load all with data_files="metadata.jsonl"',
                err=True,
            )
    if output is None and not image_folder:
        for line in json_lines(result_rows(out)):
            print(line)
