"""`latentpress verify`: whether an output folder holds what was written."""

import sys
from typing import Annotated

import typer

from latentpress.cli.options import FolderArgument, JsonOption, print_json
from latentpress.cli.render_options import AllowCodeOption
from latentpress.errors import counted

# As `diff` has it: something is not as it should be.
DIFFERS = 1


def verify_command(
    out: FolderArgument,
    mend: Annotated[
        bool, typer.Option("--repair", help="Make again what is not what was written; move what lies there now aside.")
    ] = False,
    allow_code: AllowCodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read every picture of a folder, and name what is missing, torn, foreign or swapped."""
    from latentpress.batch.proof.verify import verify

    found = verify(out)
    repaired = None
    if mend and not found.right:
        from latentpress.batch.proof.repair import repair

        if not as_json:
            for line in found.lines():
                typer.echo(line)
        repaired = repair(found, allow_code=allow_code, say=_to_stderr)
        found = repaired.after
        for note in repaired.notes:
            _to_stderr(note)
    if as_json:
        print_json(found.data() | {"repaired": repaired.data() if repaired else None})
    else:
        if repaired:
            counts = f"{counted(len(repaired.copied), 'picture')} copied, {len(repaired.rendered):,} rendered"
            drawn = f", {', '.join(repaired.drawn)} drawn" if repaired.drawn else ""
            typer.echo(f"{counts}{drawn}, {repaired.moved:,} files moved aside")
        for line in found.lines():
            typer.echo(line)
    if not found.right or (repaired and repaired.notes):
        raise typer.Exit(DIFFERS)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
