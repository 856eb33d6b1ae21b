"""What `--help` says is true: its examples parse, its exit codes are those of the commands; and it is short."""

import contextlib
import fcntl
import os
import re
import shlex
from pathlib import Path

import pytest

from latentpress.batch.ledger.lock import locked
from latentpress.cli import app, run_cli
from latentpress.cli.help import every_command, help_of
from latentpress.cli.help_texts import HELP
from latentpress.cli.streams import only_tells
from pages import table

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {name: (command, ctx) for name, command, ctx in every_command(app)}
EXAMPLES = [(name, line) for name, (_, ctx) in COMMANDS.items() for line in help_of(ctx).examples]


def words_of(line):
    """The arguments of an example, as a shell gives them."""
    program, *words = shlex.split(line.partition(" > ")[0], comments=True)
    assert program == "latentpress"
    return words


def test_every_command_has_examples_and_no_other_has():
    assert HELP.keys() == COMMANDS.keys()
    assert all(entry.examples for entry in HELP.values())


@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_an_example_is_of_its_command_and_parses(name, line):
    words = words_of(line)
    called = max((one for one in COMMANDS if words[: len(one.split())] == one.split()), key=len)
    assert called == name or (hasattr(COMMANDS[name][0], "commands") and called.startswith(name))
    command, _ = COMMANDS[called]
    arguments = words[len(called.split()) :]
    ctx = command.make_context(called, list(arguments))  # raises for what the command does not take
    given = {option for option in arguments if re.match(r"--?[a-z]", option)}
    taken = [one for one in command.params if given & set(one.opts)]
    assert len(taken) == len(given)
    assert all(ctx.get_parameter_source(one.name).name == "COMMANDLINE" for one in taken)


@pytest.mark.parametrize("line", [line for name, line in EXAMPLES if name == "draw"])
def test_the_examples_of_draw_are_jobs(line, assets, tmp_path, monkeypatch):
    """As far as the fields go: the parsers of a manifest take them."""
    from latentpress.cli.draw import manifest_text
    from latentpress.manifest.manifest import read_manifest

    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    given = COMMANDS["draw"][0].make_context("draw", words_of(line)[1:]).params
    own = ("prompt", "output", "model", "count", "concept", "engine", "threads", "strict", "replace", "as_json")
    fields = {name: value for name, value in given.items() if name not in own}
    text = manifest_text(given["prompt"], str(assets / "bundle"), given["count"], (), given["output"], fields)
    (tmp_path / "m.yaml").write_text(text)
    assert read_manifest(tmp_path / "m.yaml").jobs


@pytest.mark.parametrize("name", ["cache dir", "cache list", "concepts list", "doctor", "losses", "samplers", "schema"])
def test_examples_that_need_nothing_work(name, tmp_path, monkeypatch, capsys):
    for line in HELP[name].examples:
        if "demo" not in line:
            monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
            assert run_cli(words_of(line)) == 0
            assert capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_is_short_words_and_no_types(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run_cli([*name.split(), "-h"]) == 0
    said = capsys.readouterr().out
    assert not re.search(r"<(bool|str|int|float|path|list)\b|(int|float) range|default: no-|\{[A-Z]+\}", said)
    assert all(f"\n  {line}\n" in said for line in HELP[name].examples)
    assert all(
        re.search(rf"^  {code} +{re.escape(meaning)}$", said, re.M) for code, meaning in HELP[name].exits.items()
    )
    assert f"Usage: latentpress {name}".strip() in said
    assert run_cli([*name.split(), "--help"]) == 0
    assert capsys.readouterr().out == said


def test_the_exit_codes_are_the_readmes():
    text = (ROOT / "README.md").read_text()
    listed = {code for row in table(text, "exit code") for code in re.findall(r"\d+", row[0])}
    told = {code for entry in HELP.values() for code in entry.exits}
    assert listed - {"129", "143"} == told
    for entry in HELP.values():
        assert {"0", "2", "3", "130"} <= entry.exits.keys()
        assert "129" in entry.exits["130"]
        assert "143" in entry.exits["130"]


def test_a_lost_reader_ends_just_the_commands_that_say_so():
    assert {name for name in HELP if name and only_tells(name.split())} == {
        name for name, entry in HELP.items() if name and "141" in entry.exits
    }


@contextlib.contextmanager
def gallery_locked(folder):
    """A gallery that another process writes."""
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


def test_a_locked_folder_ends_just_the_commands_that_say_so(assets, tmp_path, monkeypatch, capsys):
    """75, from each command that can be pointed at an output folder."""
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    job = "{prompt: a mouse, steps: 1, size: 64x64, guidance_scale: 1, sampler: ddim}"
    head = f"version: 1\nmodel: {assets / 'bundle'}\nsheet: {{rows: seed}}\n"
    Path("m.yaml").write_text(f"{head}jobs: [{job}]\noutput: '{{seed}}.png'\n")
    body = '{"model": "x", "prompt": "a mouse", "size": "64x64", "response_format": "b64_json"}'
    line = f'{{"custom_id": "a", "method": "POST", "url": "/v1/images/generations", "body": {body}}}\n'
    Path("batch.jsonl").write_text(line)
    assert run_cli(["render", "m.yaml", "-o", "out"]) == 0
    found = {}
    with locked(tmp_path / "out"):
        for name in ("plan", "render", "status", "watch", "sheet", "tidy"):
            found[name] = run_cli([name, "m.yaml", "-o", "out", *(["--redraw"] if name == "render" else [])])
        found["openai"] = run_cli(["openai", "batch.jsonl", "--model", str(assets / "bundle"), "-o", "out"])
        for name in ("rebuild", "results", "verify"):
            found[name] = run_cli([name, "out"])
        found["pack"] = run_cli(["pack", "out", "-o", "out.zip"])
        with gallery_locked(Path("page")):
            found["gallery"] = run_cli(["gallery", "out", "-o", "page"])
        Path("out/0.png").unlink()
        found["verify"] = max(found["verify"], run_cli(["verify", "out", "--repair"]))
    assert {name for name, code in found.items() if code == 75} == {
        name for name, entry in HELP.items() if name and "75" in entry.exits
    }, found
