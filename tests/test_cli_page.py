"""docs/cli.md is what the program says of itself, and names each of its options."""

import re

import typer

import cli_page
from latentpress.cli import app
from pages import section, spans


def test_the_page_is_in_step():
    assert cli_page.PAGE.read_text() == cli_page.page(), "run `make docs`"


def test_the_page_has_every_option_of_every_command():
    """Told by click's own list of parameters, not by what writes the page."""
    text = cli_page.PAGE.read_text()

    def visit(name, command):
        own = section(text, f"latentpress {name}".strip())
        named = {span for span in spans(own) if re.fullmatch(r"--?[a-z][a-z-]*", span)}
        assert {option for one in command.params if one.param_type_name == "option" for option in one.opts} <= named
        assert all(f"`{one.envvar}`" in own for one in command.params if one.envvar)
        for key, child in getattr(command, "commands", {}).items():
            visit(f"{name} {key}".strip(), child)

    visit("", typer.main.get_command(app))
