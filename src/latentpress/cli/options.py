"""Options and output that several commands share."""

import json
from typing import Annotated

import typer

BundleArgument = Annotated[str, typer.Argument(metavar="BUNDLE", help="A bundle folder, or `demo`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]


def print_json(data: object) -> None:
    """The one thing a command with --json prints on stdout."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def parse_sizes(texts: list[str]) -> list[tuple[int, int]]:
    """`512x768` (width x height) -> (768, 512); raises UsageError for anything else."""
    from latentpress.errors import UsageError

    found: list[tuple[int, int]] = []
    for text in texts:
        width, _, height = text.partition("x")
        if not (width.isdigit() and height.isdigit()):
            raise UsageError(f"--size {text}: must be WIDTHxHEIGHT in pixels, e.g. 512x768")
        found.append((int(height), int(width)))
    return found
