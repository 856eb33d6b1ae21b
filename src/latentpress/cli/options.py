"""Options and output that several commands share."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, cast

import typer

from latentpress.cli.completion import bundles, output_folders

BundleArgument = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="A bundle folder, or `demo`.", autocompletion=bundles)
]
FolderArgument = Annotated[Path, typer.Argument(metavar="OUT", help="An output folder.", autocompletion=output_folders)]
TargetArgument = Annotated[
    str,
    typer.Argument(metavar="MANIFEST|OUT", help="A manifest, or an output folder.", autocompletion=output_folders),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]

# Of everything that --json prints. It rises where a field goes or changes its meaning; fields may be added without that.
JSON_VERSION = 1
# Lines, or items of a list, that are written at once.
_BLOCK = 500


def print_json(data: Mapping[str, object], *, one_line: bool = False) -> None:
    """The one thing a command with --json prints on stdout: `data`, and the version of its schema (docs/schemas) first.

    Lists that are iterators are printed as they come, however long they are, a line for each item; one_line: as one of
    several, JSON Lines.
    """
    indent = None if one_line else 2
    between = ", " if one_line else ",\n  "
    sys.stdout.write("{" if one_line else "{\n  ")
    for number, (key, value) in enumerate({"version": JSON_VERSION, **data}.items()):
        sys.stdout.write(f"{between if number else ''}{json.dumps(key)}: ")
        if isinstance(value, Iterator):
            _write_list(cast("Iterator[object]", value), one_line=one_line)
        else:
            sys.stdout.write(_printable(value, indent, 2))
    sys.stdout.write("}\n" if one_line else "\n}\n")
    sys.stdout.flush()


def print_lines(lines: Iterable[str]) -> None:
    """Print each of `lines`, of which there may be a million: some hundred at a time."""
    left = iter(lines)
    for block in iter(lambda: list(islice(left, _BLOCK)), []):
        typer.echo("\n".join(block))


def _write_list(items: Iterator[object], *, one_line: bool) -> None:
    first, between, end = ("[", ", ", "]") if one_line else ("[\n    ", ",\n    ", "\n  ]")
    empty = True
    for block in iter(lambda: list(islice(items, _BLOCK)), []):
        sys.stdout.write((first if empty else between) + between.join([_printable(item, None, 0) for item in block]))
        empty = False
    sys.stdout.write("[]" if empty else end)


def _printable(value: object, indent: int | None, margin: int) -> str:
    """`value` as JSON, with escapes where stdout cannot show a character."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):  # a terminal of another encoding, or a file's name that is no UTF-8
        text = json.dumps(value, indent=indent)
    return text.replace("\n", "\n" + " " * margin)


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
