"""`latentpress pack`: the supplement of a paper."""

from pathlib import Path
from typing import Annotated

import typer

from latentpress.cli.options import FolderArgument, JsonOption, print_json


def pack_command(
    out: FolderArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The zip; it must not be there yet.")],
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Leave out files of the manifest, such as 'concepts/*'; the README names them. May be repeated.",
        ),
    ] = None,
    largest: Annotated[
        int, typer.Option(min=0, metavar="MB", help="Leave out files of the manifest that are larger than this.")
    ] = 256,
    as_json: JsonOption = False,
) -> None:
    """Pack a folder for a paper's supplement: pictures, manifest, plan, table, sheets, licences and sums, in a zip."""
    from latentpress.results.pack import pack

    packed = pack(out, output, without or (), largest * 1_000_000)
    if as_json:
        print_json(packed.data())
        return
    for line in packed.lines():
        typer.echo(line)
