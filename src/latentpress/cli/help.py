"""How `--help` is written: options with short words for their values, in groups, then examples and exit codes.

Knows no command; what each one's examples and exit codes are stands in help_texts.py.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from latentpress.cli.completion import tab_help
from latentpress.cli.environment import naming_variables
from latentpress.cli.help_texts import HELP, Help

# Groups of options, in the order in which the help shows them; a command with few options has them all in one.
ENGINE_PANEL = "How it is rendered"
THERE_PANEL = "What is there already"
FAILURE_PANEL = "When pictures fail, and when to stop"
TELLING_PANEL = "What it tells"
FIELD_PANEL = "Fields of a job"
_FEW = 6


class Command(TyperCommand):
    """A command with examples and exit codes in its help.

    Options' help may name engines: {ENGINES} with their precisions, {NAMES} without, {ELSEWHERE}. The words are put in
    when help is asked for: no other use of the command line needs the table of engines.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        prepare(self, ctx)
        super().format_help(ctx, formatter)
        formatter.write(tail(ctx))

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """What a shell offers on Tab for a word of the command itself."""
        return _on_tab(super().shell_complete(ctx, incomplete))

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error about a value from the environment names the variable."""
        with naming_variables(ctx):
            return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The arguments as their help calls them, without braces around."""
        return usage_pieces(self)


class Group(TyperGroup):
    """Commands of one kind, with examples and exit codes in their help."""

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """What a shell offers on Tab for the commands."""
        return _on_tab(super().shell_complete(ctx, incomplete))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        prepare(self, ctx)
        super().format_help(ctx, formatter)
        formatter.write(tail(ctx))


def usage_pieces(command: Any) -> list[str]:
    """What stands behind a command's name: [OPTIONS], then its arguments."""
    names = [
        (one.metavar or one.name.upper(), one.required) for one in command.params if one.param_type_name == "argument"
    ]
    return ["[OPTIONS]", *(name if required else f"[{name}]" for name, required in names)]


def prepare(command: Any, ctx: Any) -> None:
    """Have typer show a command's options shortly: flags without a type, values by one word, bounds in the text alone."""
    params = command.get_params(ctx)
    few = sum(isinstance(one, TyperOption) for one in params) <= _FEW
    words: Mapping[str, str] | None = None
    for param in params:
        if param.param_type_name == "argument":
            param.display_type_rich = _nothing
            continue
        param.metavar = value_name(param)
        param.min = param.max = None
        if few:
            param.rich_help_panel = None
        if "{" in (param.help or ""):
            words = words or _words()
            for word, names in words.items():
                param.help = param.help.replace(f"{{{word}}}", names)


def value_name(option: Any) -> str:
    """What an option's value is called in the help; empty for a flag."""
    if option.is_flag:
        return ""
    kind = str(option.type_descriptor.annotation)
    known = {"int": "N", "float": "NUMBER", "Path": "PATH"}
    return option.metavar or next((name for word, name in known.items() if word in kind), "NAME")


def tail(ctx: Any) -> str:
    """What stands below the options: examples, and exit codes with their meaning."""
    found = help_of(ctx)
    lines = ["", "Examples:", *(f"  {line}" for line in found.examples), "", "Exit codes:"]
    exits = found.exits
    wide = max(map(len, exits))
    return "\n".join([*lines, *(f"  {code:<{wide}}  {meaning}" for code, meaning in exits.items())]) + "\n"


def help_of(ctx: Any) -> Help:
    """The examples and exit codes of the command that the context is of."""
    return HELP[ctx.command_path.partition(" ")[2]]


def every_command(app: typer.Typer) -> Iterator[tuple[str, Any, Any]]:
    """Each command with its words after `latentpress`, and a context of it; groups before what is in them."""
    root: Any = typer.main.get_command(app)
    yield from _below("", root, root.make_context("latentpress", [], resilient_parsing=True))


def _below(name: str, command: Any, ctx: Any) -> Iterator[tuple[str, Any, Any]]:
    yield name, command, ctx
    for key, child in getattr(command, "commands", {}).items():
        made = child.context_class(child, parent=ctx, info_name=key, **child.context_settings)
        yield from _below(f"{name} {key}".strip(), child, made)


def _on_tab(items: Any) -> Any:
    for item in items:
        item.help = item.help and tab_help(item.help)
    return items


def _words() -> dict[str, str]:
    from latentpress.engines import table
    from latentpress.engines.choice import choices, listed

    return {
        "ENGINES": listed(choices()),
        "NAMES": listed(engine.name for engine in table.ENGINES),
        "ELSEWHERE": listed(engine.name for engine in table.ENGINES if engine.elsewhere),
    }


def _nothing(ctx: Any) -> None:
    """The type of an argument is not shown: its name says what it is."""
