"""Settings by the environment: they hold, the command line wins, and what is wrong with one names it."""

import json
from pathlib import Path

import pytest

from latentpress.cli import run_cli


@pytest.fixture
def here(assets, tmp_path, monkeypatch):
    """The current directory, with one manifest."""
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    text = (
        f"version: 1\nmodel: {assets / 'bundle'}\ndefaults: {{prompt: a mouse, steps: 1, size: 64x64, sampler: ddim}}\n"
    )
    Path("m.yaml").write_text(text)
    Path("n.yaml").write_text(text)
    return tmp_path


def planned(capsys, *options):
    assert run_cli(["plan", "m.yaml", "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_output_folder(here, monkeypatch, capsys):
    monkeypatch.setenv("LATENTPRESS_OUTPUT", "night/{name}")
    assert planned(capsys)["folder"] == "night/m"
    assert planned(capsys, "-o", "other")["folder"] == "other"
    monkeypatch.setenv("LATENTPRESS_OUTPUT", "")
    assert planned(capsys)["folder"] == "out/m"


def test_engine_and_threads_reach_the_render(here, monkeypatch, capsys):
    from latentpress.batch.folder import OutputFolder

    seen = []
    monkeypatch.setattr(OutputFolder, "rehearse", lambda self, settings, **_: seen.append(settings) or exit_now())
    monkeypatch.setenv("LATENTPRESS_ENGINE", "openvino:bf16")
    monkeypatch.setenv("LATENTPRESS_THREADS", "3")
    for options in ([], ["--engine", "cpu", "--threads", "1"]):
        run_cli(["render", "m.yaml", "--dry-run", *options])
    assert [(str(one.engine), one.threads) for one in seen] == [("openvino:bf16", 3), ("cpu", 1)]


def exit_now():
    import typer

    raise typer.Exit(0)


@pytest.mark.parametrize(
    ("variable", "value", "command"),
    [
        ("LATENTPRESS_ENGINE", "openvin", ["render", "m.yaml"]),
        ("LATENTPRESS_ENGINE", "openvin", ["plan", "m.yaml", "n.yaml"]),
        ("LATENTPRESS_ENGINE", "openvin", ["draw", "an owl"]),
        ("LATENTPRESS_THREADS", "many", ["plan", "m.yaml"]),
        ("LATENTPRESS_THREADS", "0", ["rerender", "a.png"]),
        ("LATENTPRESS_OUTPUT", "m.yaml", ["plan", "m.yaml"]),
        ("LATENTPRESS_OUTPUT", "m.yaml", ["render", "m.yaml"]),
        ("LATENTPRESS_OUTPUT", "one", ["status", "m.yaml", "n.yaml"]),
    ],
)
def test_a_wrong_variable_is_named_once_in_one_sentence(here, monkeypatch, capsys, variable, value, command):
    monkeypatch.setenv(variable, value)
    assert run_cli(command) == 2
    said = capsys.readouterr().err
    assert variable in said
    assert len(said.splitlines()) == 1


def test_the_same_mistake_on_the_command_line_names_no_variable(here, monkeypatch, capsys):
    monkeypatch.setenv("LATENTPRESS_THREADS", "2")
    monkeypatch.setenv("LATENTPRESS_ENGINE", "cpu")
    assert run_cli(["plan", "m.yaml", "--threads", "many"]) == 2
    assert run_cli(["plan", "m.yaml", "--engine", "openvin"]) == 2
    said = capsys.readouterr().err
    assert "'--threads'" in said
    assert "LATENTPRESS_" not in said


def test_a_wrong_variable_is_none_to_a_command_without_its_option(here, monkeypatch, capsys):
    monkeypatch.setenv("LATENTPRESS_THREADS", "many")
    monkeypatch.setenv("LATENTPRESS_ENGINE", "openvin")
    assert run_cli(["status", "m.yaml"]) == 0


def test_rerender_keeps_to_the_engine_of_the_picture(here, assets, monkeypatch, capsys):
    assert run_cli(["draw", "an owl", "--model", str(assets / "bundle"), "--steps", "1", "-o", "owl.png"]) == 0
    monkeypatch.setenv("LATENTPRESS_ENGINE", "tensorrt")
    assert run_cli(["rerender", "owl.png", "--model", str(assets / "bundle")]) == 0


def test_watch_takes_an_output_folder_beside_the_variable(here, monkeypatch, capsys):
    monkeypatch.setenv("LATENTPRESS_OUTPUT", "elsewhere")
    Path("out").mkdir()
    assert run_cli(["watch", "out"]) == 4
    assert run_cli(["watch", "out", "-o", "another"]) == 2
