"""`latentpress trust`: whose losses may run without --allow-code. Reads their files and runs none."""

from pathlib import Path
from typing import Annotated

import typer


def trust_command(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Python files with losses; without any, what is trusted is listed."),
    ] = None,
) -> None:
    """Let losses of your own run without --allow-code, until their code changes."""
    from latentpress.errors import UsageError
    from latentpress.runtime.guidance.own.source import parsed, read_source
    from latentpress.runtime.guidance.own.trust import trust, trust_file, trusted

    if not files:
        known = trusted()
        for sha256, path in known.items():
            typer.echo(f"{sha256[:12]}  {path}")
        typer.echo(f"{len(known)} trusted; take a line out of {trust_file()} to trust one no more")
        return
    for path in files:
        if path.suffix != ".py":
            raise UsageError(f"{path}: is no Python file; name a .py with a loss")
    sources = [read_source(path) for path in files]
    for source in sources:
        parsed(source.text, source.path)
    trust(sources)
    for source in sources:
        others = sorted(one.path for name, one in source.modules.items() if name != source.entry)
        beside = f" with {', '.join(others)}" if others else ""
        typer.echo(f"{source.path}{beside}: trusted until it changes")
