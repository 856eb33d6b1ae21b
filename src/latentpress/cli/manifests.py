"""What the commands that read a manifest share: its argument, its output folder, and what they print of their state."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from latentpress.batch.folder import OutputFolder
    from latentpress.batch.state.status import Status

ManifestArgument = Annotated[Path, typer.Argument(metavar="MANIFEST", help="A YAML manifest.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Output folder; default out/NAME in the current directory."),
]


def opened(manifest: Path, output: Path | None) -> "OutputFolder":
    """The output folder of a manifest, which is read."""
    from latentpress.batch.folder import OutputFolder
    from latentpress.manifest.manifest import read_manifest

    return OutputFolder(read_manifest(manifest), output)


def print_state(state: "Status", folder: "OutputFolder") -> None:
    """How far a plan has come, and what else to know of it."""
    from latentpress.batch.state.report import counts_line, remarks

    typer.echo(counts_line(state, folder.path))
    for line in remarks(state, folder.path):
        typer.echo(line)


def warn(lines: tuple[str, ...]) -> None:
    """Print warnings on stderr."""
    for line in lines:
        to_stderr(line)


def to_stderr(line: str) -> None:
    """Print a line for people, at once."""
    print(line, file=sys.stderr, flush=True)
