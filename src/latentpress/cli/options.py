"""Options and output that several commands share."""

import json
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption

BundleArgument = Annotated[str, typer.Argument(metavar="BUNDLE", help="A bundle folder, or `demo`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]


class EngineCommand(TyperCommand):
    """A command whose options' help names engines: {ENGINES} with their precisions, {NAMES} without, {ELSEWHERE}.

    The words are put in when help is asked for: no other use of the command line needs the table of engines.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, the engines' names in it."""
        from latentpress.engines import table
        from latentpress.engines.choice import choices, listed

        words = {
            "ENGINES": listed(choices()),
            "NAMES": listed(engine.name for engine in table.ENGINES),
            "ELSEWHERE": listed(engine.name for engine in table.ENGINES if engine.elsewhere),
        }
        for option in self.params:
            if isinstance(option, TyperOption) and option.help:
                for word, names in words.items():
                    option.help = option.help.replace(f"{{{word}}}", names)
        super().format_help(ctx, formatter)


def print_json(data: object, *, one_line: bool = False) -> None:
    """The one thing a command with --json prints on stdout; one_line: as one of several, JSON Lines."""
    indent = None if one_line else 2
    text = json.dumps(data, indent=indent, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):  # a terminal of another encoding, or a file's name that is no UTF-8
        text = json.dumps(data, indent=indent)
    print(text, flush=one_line)


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
