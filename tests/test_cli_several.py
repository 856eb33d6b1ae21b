"""Several manifests on one command line: files, patterns and stdin, one after another with the model kept loaded."""

import io
import json
import sys

import pytest

from latentpress.cli import run_cli
from latentpress.runtime.render import Renderer

MANIFEST = """\
version: 1
model: {bundle}
defaults: {{prompt: {prompt}, steps: 1, size: 64x64, sampler: ddim, guidance_scale: 1}}
output: "{{seed}}.png"
"""


@pytest.fixture
def write(tmp_path, assets, monkeypatch):
    """write(name, prompt) makes a manifest of one picture in the current directory, and returns its text."""
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def make(name, prompt="a mouse"):
        text = MANIFEST.format(bundle=assets / "bundle", prompt=prompt)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        return text

    return make


@pytest.fixture
def opened(monkeypatch):
    """The bundles whose engines were opened, in order."""
    found = []

    class Counted(Renderer):
        def __init__(self, bundle, **settings):
            found.append(bundle.path.name)
            super().__init__(bundle, **settings)

    monkeypatch.setattr("latentpress.runtime.render.Renderer", Counted)
    return found


def stdin(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_several_are_rendered_one_after_another_and_the_model_is_opened_once(write, opened, tmp_path, capsys):
    for name in ("a.yaml", "nightly/b.yaml", "nightly/c.yaml"):
        write(name, f"a mouse {name[-6]}")
    # The shell hands on a pattern in quotes; a.yaml is asked for twice, by two names, and rendered once.
    assert run_cli(["render", "a.yaml", "nightly/*.yaml", str(tmp_path / "a.yaml"), "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["name"], one["counts"]["done"]) for one in told] == [("a", 1), ("b", 1), ("c", 1)]
    assert all((tmp_path / "out" / name / "0.png").exists() for name in "abc")
    assert opened == ["bundle"]


def test_engines_with_other_settings_are_opened_anew(bundle, opened, tmp_path):
    from latentpress.batch.executors.local import Engines, LocalExecutor, Settings

    engines = Engines()
    for rows in (2, 2, 4, 4):
        executor = LocalExecutor({bundle.hash: bundle}, Settings("cpu", rows), tmp_path, print, engines)
        executor.open(bundle.hash, [])
    assert len(opened) == 2


def test_mistakes_of_all_are_told_before_anything_is_rendered(write, tmp_path, capsys):
    write("a.yaml")
    for name in ("b.yaml", "c.yaml"):
        (tmp_path / name).write_text(write(name).replace("steps: 1", "stepz: 1"))
    assert run_cli(["render", "a.yaml", "b.yaml", "c.yaml", "gone.yaml"]) == 2
    said = capsys.readouterr().err
    assert "b.yaml:3:29: unknown key 'stepz'" in said
    assert "c.yaml:3:29: unknown key 'stepz'" in said
    assert "gone.yaml: no such file; give the path of a manifest" in said
    assert "nothing was done for the other manifests; mend these 3, or add --keep-going" in said
    assert not (tmp_path / "out").exists()
    assert run_cli(["render", "b.yaml", "a.yaml", "c.yaml", "--keep-going"]) == 2
    assert (tmp_path / "out" / "a" / "0.png").exists()


def test_what_fails_for_one_does_not_stop_the_next(write, tmp_path, capsys):
    write("a.yaml")
    write("b.yaml", "a cat")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").touch()
    assert run_cli(["status", "a.yaml", "b.yaml"]) == 2
    said = capsys.readouterr()
    assert "error: a.yaml: out/a: is a file" in said.err
    assert "==> b.yaml <==\nout/b: 0 of 1 image done" in said.out


def test_two_manifests_never_share_a_folder(write, tmp_path, capsys):
    write("a.yaml")
    write("b.yaml")
    assert run_cli(["render", "a.yaml", "b.yaml", "-o", "night"]) == 2
    said = capsys.readouterr().err
    assert "error: b.yaml: its output folder night is that of a.yaml too; " in said
    assert "write {name} in -o, e.g. -o 'night/{name}'" in said
    write("more/a.yaml")
    assert run_cli(["plan", "a.yaml", "more/a.yaml"]) == 2
    assert "both are called 'a', so give one another `name:`" in capsys.readouterr().err
    assert run_cli(["plan", "a.yaml", "b.yaml", "-o", "night/{name}", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["folder"] for one in told] == ["night/a", "night/b"]
    assert run_cli(["plan", "a.yaml", "-o", "night/{name}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == "night/a"


def test_a_pattern_names_files_and_only_where_no_file_has_its_name(write, tmp_path, capsys):
    write("night[1].yaml")
    write("deep/b.yaml")
    assert run_cli(["plan", "night[1].yaml"]) == 0
    assert "==>" not in capsys.readouterr().out, "one file, named in full"
    assert run_cli(["plan", "**/[ab].yaml"]) == 0
    assert capsys.readouterr().out.startswith("==> deep/b.yaml <==\n"), "a pattern may have more matches tomorrow"
    assert run_cli(["plan", "*.yml"]) == 2
    assert "'*.yml' matches no file" in capsys.readouterr().err
    assert run_cli(["plan", "deep"]) == 2
    assert "deep: is a folder; name the manifests in it, e.g. 'deep/*.yaml'" in capsys.readouterr().err
    (tmp_path / "deep/.latentpress").mkdir()
    assert run_cli(["status", "deep"]) == 2
    line = (
        "deep: is an output folder; name its manifest, and the folder with -o deep; `latentpress report deep` needs no"
    )
    assert line in capsys.readouterr().err


def test_a_manifest_comes_from_stdin(write, tmp_path, monkeypatch, capsys):
    text = write("a.yaml")
    (tmp_path / "mouse.png").write_bytes(b"no picture")
    stdin(monkeypatch, text)
    assert run_cli(["plan", "-", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["folder"]) == ("stdin", "out/stdin")
    stdin(monkeypatch, text.replace("steps: 1", "init_image: mouse.png"))
    assert run_cli(["plan", "-"]) == 2
    assert "<stdin>:3:41: init_image mouse.png is not a picture" in capsys.readouterr().err
    stdin(monkeypatch, text.replace("version: 1", "version: 1\nname: mine"))
    assert run_cli(["render", "-", "a.yaml"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "mine"]
    stdin(monkeypatch, "")
    assert run_cli(["plan", "-"]) == 2
    assert "<stdin>:1:1: the manifest is empty" in capsys.readouterr().err
