"""Options and output that several commands share."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, NamedTuple, cast

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


class JsonTexts(NamedTuple):
    """A list whose items are JSON texts already."""

    items: Iterator[str]


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
        if isinstance(value, JsonTexts):
            _write_list(value.items, one_line=one_line)
        elif isinstance(value, Iterator):
            items = (_printable(item, None, 0) for item in cast("Iterator[object]", value))
            _write_list(items, one_line=one_line)
        else:
            sys.stdout.write(_printable(value, indent, 2))
    sys.stdout.write("}\n" if one_line else "\n}\n")
    sys.stdout.flush()


def print_lines(lines: Iterable[str]) -> None:
    """Print each of `lines`, of which there may be a million: some hundred at a time."""
    left = iter(lines)
    for block in iter(lambda: list(islice(left, _BLOCK)), []):
        typer.echo("\n".join(block))


def _write_list(items: Iterator[str], *, one_line: bool) -> None:
    """Write the list of these JSON texts, a block at a time."""
    first, between, end = ("[", ", ", "]") if one_line else ("[\n    ", ",\n    ", "\n  ]")
    empty = True
    for block in iter(lambda: list(islice(items, _BLOCK)), []):
        text = between.join(block)
        if not _shows(text):
            text = between.join([json.dumps(json.loads(item)) for item in block])
        sys.stdout.write((first if empty else between) + text)
        empty = False
    sys.stdout.write("[]" if empty else end)


def _printable(value: object, indent: int | None, margin: int) -> str:
    """`value` as JSON, with escapes where stdout cannot show a character."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    if not _shows(text):
        text = json.dumps(value, indent=indent)
    return text.replace("\n", "\n" + " " * margin)


def _shows(text: str) -> bool:
    """Whether stdout can show `text`: not where its encoding is another, or a file's name that is no UTF-8 is in it."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


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
