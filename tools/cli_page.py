"""Writes docs/cli.md from the commands themselves: `make docs`. A test holds the page to what this writes."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latentpress.cli import app
from latentpress.cli.help import every_command, help_of, prepare, usage_pieces, value_name
from latentpress.cli.help_texts import HELP, Help

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
_HEAD = """# The command line

This page is made from the program by `make docs`: what `latentpress COMMAND -h` says, of every command.
[Commands](commands.md) says what they do and how; the variables are those of [the environment](commands.md#the-environment).
Any command may end with 2, 3 and 130, which the first table of exit codes has.
"""
# What each command says of these is the same.
_COMMON = {"2", "3", "130"}


def page() -> str:
    """The text of docs/cli.md."""
    parts = [_HEAD]
    for name, command, ctx in every_command(app):
        prepare(command, ctx)
        parts.append("\n".join(_section(name, command, ctx)))
    return "\n".join(parts)


def _section(name: str, command: Any, ctx: Any) -> Iterator[str]:
    """The lines on one command."""
    words = f"latentpress {name}".strip()
    # A group, such as `concepts`, has its commands' names in place of arguments.
    group = hasattr(command, "commands")
    yield f"## {words}"
    yield ""
    yield f"    {' '.join([words, *([] if group else usage_pieces(command)), *(['COMMAND'] if group else [])])}"
    yield ""
    yield " ".join((command.help or "").split())
    yield ""
    params = command.get_params(ctx)
    if group:
        yield from _table("command", "", ((f"`{key}`", child.help) for key, child in command.commands.items()))
    arguments = [one for one in params if one.param_type_name == "argument"]
    yield from _table("argument", "", ((f"`{one.metavar}`", _meaning(one)) for one in arguments))
    panels = dict.fromkeys(one.rich_help_panel or "" for one in params if one not in arguments)
    for panel in sorted(panels, key=bool):
        options = [one for one in params if one not in arguments and (one.rich_help_panel or "") == panel]
        yield from _table(
            panel.lower() or "option", "value", ((_names(one), _value(one), _meaning(one)) for one in options)
        )
    yield from _end(help_of(ctx))


def _end(found: Help) -> Iterator[str]:
    yield from (f"    {line}" for line in found.examples)
    yield ""
    common = HELP[""].exits
    own = {
        code: said
        for code, said in found.exits.items()
        if code not in _COMMON or said != common[code] or found is HELP[""]
    }
    yield from _table("exit code", "", own.items())


def _table(first: str, second: str, rows: Any) -> Iterator[str]:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    if lines:
        heads = [first, *([second] if second else []), "meaning"]
        yield f"| {' | '.join(heads)} |"
        yield f"|{'---|' * len(heads)}"
        yield from lines
        yield ""


def _names(option: Any) -> str:
    """The long name first; the help option's come in an order of chance."""
    return ", ".join(f"`{name}`" for name in sorted(option.opts, key=lambda name: (-len(name), name)))


def _value(option: Any) -> str:
    name = value_name(option)
    return f"`{name}`" if name else ""


def _meaning(param: Any) -> str:
    """Its help, its default and its variable."""
    said = " ".join((param.help or "").split()).replace("<", "\\<")
    default = param.default
    if default not in (None, False, "") and "efault" not in said and not callable(default):
        said += f" Default `{default}`."
    return said + (f" Or `{param.envvar}`." if param.envvar else "")


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE}: written", file=sys.stderr)
