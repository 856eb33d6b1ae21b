"""A manifest with losses of one's own, by its commands: told where wrong, run only where that is allowed, hashed, kept."""

import json
import sqlite3
from pathlib import Path

import pytest

import latentpress
from latentpress.cli import run_cli

MANIFEST = """\
version: 1
name: own
model: {model}
losses:
  mine: losses/mine.py
  dark: losses/mine.py:dark
  bad: losses/mine.py:bad
defaults: {{prompt: a red kite, steps: 2, size: 64x64, seed: 1}}
matrix:
  loss: [none, [{{name: mine, scale: 50, target: 0.4}}, dark], bad]
output: "{{loss}}.png"
"""
LOSS = """\
import helpers

open("ran", "w").close()

def loss(image, target: float = 0.9):
    return helpers.distance(image, target).mean()

def dark(image):
    return image.mean()

def bad(image):
    return image.mean() / 0
"""


@pytest.fixture
def own(tmp_path, assets, monkeypatch):
    """The manifest, in the current directory."""
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    Path("losses").mkdir()
    Path("losses/mine.py").write_text(LOSS)
    Path("losses/helpers.py").write_text("def distance(a, b):\n    print('first draft')\n    return (a - b).abs()\n")
    Path("own.yaml").write_text(MANIFEST.format(model=assets / "bundle"))
    return Path("own.yaml")


def codes():
    database = sqlite3.connect("out/own/.latentpress/ledger.sqlite")
    return {sha256: json.loads(text) for sha256, text in database.execute("SELECT sha256, source FROM codes")}


def test_a_loss_of_ones_own_from_the_plan_to_an_edit(own, capsys):
    # Nothing that only looks runs it, and a render refuses before there is a folder.
    for command in ("plan", "status"):
        run_cli([command, str(own)])
    said = capsys.readouterr().err
    assert "losses/mine.py: the losses in it are code" not in said
    assert said.count("`render` refuses this as it is") == 1
    for arguments in (["render"], ["render", "--dry-run"], ["render", "--only", "loss=mine+dark"]):
        assert run_cli([*arguments, str(own)]) == 2
        assert (
            "add --allow-code, or trust it until it changes with `latentpress trust losses/mine.py`"
            in capsys.readouterr().err
        )
    assert not Path("ran").exists()
    assert not Path("out").exists()
    assert run_cli(["render", str(own), "--only", "loss=none"]) == 0, "what has no such loss is rendered"
    assert not Path("ran").exists()

    # Allowed for once: the one that fails fails by name, the others are there.
    capsys.readouterr()
    assert run_cli(["render", str(own), "--allow-code"]) == 1
    out, err = capsys.readouterr()
    assert "own, seed 1): losses/mine.py:11: the loss bad gave inf" in err
    assert "\nfirst draft\n" in err, "what a loss prints comes through"
    assert "first draft" not in out
    assert Path("ran").exists()
    assert {path.name for path in Path("out/own").glob("*.png")} == {"none.png", "mine+dark.png"}
    first = Path("out/own/mine+dark.png").read_bytes()
    assert first != Path("out/own/none.png").read_bytes()
    [(sha256, source)] = codes().items()
    assert source["modules"]["mine"] == ["mine.py", LOSS]
    assert sha256.encode() in first
    assert b"Loss code: " + sha256[:12].encode() in first

    # Once it is trusted it runs, until a module that it imports changes.
    Path("ran").unlink()
    assert run_cli(["trust", "losses/mine.py"]) == 0
    assert not Path("ran").exists()
    assert run_cli(["trust"]) == 0
    assert f"{sha256[:12]}  {Path('losses/mine.py').absolute()}\n1 trusted" in capsys.readouterr().out
    assert run_cli(["render", str(own)]) == 1
    assert Path("out/own/mine+dark.png").read_bytes() == first, "and it was not rendered again"
    Path("losses/helpers.py").write_text("def distance(a, b):\n    print('second')\n    return (a - b).square()\n")
    assert run_cli(["render", str(own)]) == 2
    assert run_cli(["render", str(own), "--allow-code"]) == 1
    assert Path("out/own/mine+dark.png").read_bytes() != first
    assert len(codes()) == 2

    # Made again from the ledger's copy, though the file is another by now.
    Path("losses/mine.py").write_text(LOSS.replace("bad", "worse"))
    assert run_cli(["rerender", "out/own/mine+dark.png"]) == 2
    assert "add --allow-code" in capsys.readouterr().err
    assert run_cli(["rerender", "out/own/mine+dark.png", "--allow-code"]) == 0
    out, err = capsys.readouterr()
    assert (out, "second\n" in err) == ("out/own/mine+dark.png: equal to the pixel\n", True)
    assert run_cli(["show", "out/own/mine+dark.png", "--manifest"]) == 2
    assert "the code of its loss mine is in the ledger alone" in capsys.readouterr().err
    assert run_cli(["show", "out/own/mine+dark.png", "--manifest", "--losses", "kept"]) == 0
    Path("again.yaml").write_text(capsys.readouterr().out)
    (kept,) = Path("kept").iterdir()
    assert {path.name: path.read_text() for path in kept.iterdir()}["mine.py"] == LOSS
    (planned,) = latentpress.OutputFolder("again.yaml", "out/again").plan().jobs
    assert f'"job_hash":"{planned.job_hash}"'.encode() in Path("out/own/mine+dark.png").read_bytes()
    Path("losses/mine.py").write_text(LOSS)
    assert run_cli(["show", "out/own/mine+dark.png", "--manifest"]) == 0
    file = own.parent.absolute() / "losses/mine.py"
    written = f'losses:\n  mine: "{file}"\n  dark: "{file}:dark"\n'
    assert written in capsys.readouterr().out
    Path("alone.png").write_bytes(Path("out/own/mine+dark.png").read_bytes())
    model = ("--model", own.read_text().split("model: ")[1].split("\n")[0])
    assert run_cli(["rerender", "alone.png", "--allow-code", *model]) == 2
    assert "the code of its loss mine with sha256" in capsys.readouterr().err
    assert run_cli(["rerender", "alone.png", "--allow-code", *model, "--input", "losses/mine.py"]) == 0
    for command in (["verify", "out/own"], ["show", "out/own/mine+dark.png"], ["gallery", "out/own"]):
        Path("ran").unlink(missing_ok=True)
        assert run_cli(command) == 0
        assert not Path("ran").exists()

    # Put right where that is allowed.
    Path("out/own/mine+dark.png").unlink()
    capsys.readouterr()
    assert run_cli(["verify", "out/own", "--repair"]) == 1
    assert "mine+dark.png cannot be made again: " in (err := capsys.readouterr().err)
    assert "add --allow-code" in err
    assert run_cli(["verify", "out/own", "--repair", "--allow-code"]) == 0
    assert Path("out/own/mine+dark.png").exists()


@pytest.mark.parametrize(
    ("losses", "loss", "said"),
    [
        (
            "{mine: losses/mine.py}",
            "{name: mine, targt: 1}",
            "9:22: unknown key 'targt' in loss mine; did you mean 'target'?",
        ),
        ("{mine: losses/mine.py}", "{name: mine, target: x}", "9:30: target of loss mine is 'x'; it must be a number"),
        (
            "{mine: losses/mine.py}",
            "{name: mine, target: true}",
            "9:30: target of loss mine is 'true'; it must be a number",
        ),
        ("{mine: losses/words.py}", "{name: mine, n: true}", "9:25: n of loss mine is 'true'; it must be a number"),
        ("{mine: losses/words.py}", "{name: mine, of: true}", "9:26: of of loss mine is 'true'; it must be text"),
        ("{mine: losses/mine.py}", "mne", "9:9: unknown loss 'mne'; did you mean 'mine'?"),
        ("{mine: losses/needy.py}", "mine", "9:9: loss mine needs its to; write {name: mine, to: ...}"),
        ("{mine: losses/gone.py}", "mine", "4:16: losses/gone.py: it does not exist; name a Python file with a loss"),
        ("{mine: losses/mine.py:los}", "mine", "4:16: losses/mine.py:1:1: it has no function `los` at its top level; "),
        (
            "{mine: losses}",
            "mine",
            "4:16: loss mine is 'losses'; write the path of a Python file, such as losses/mine.py",
        ),
        ("{mine: }", "mine", "4:16: loss mine names no file; write mine: losses/mine.py"),
        ("{no way: losses/mine.py}", "none", "4:10: a loss cannot be called 'no way'; take a word"),
        ("[losses/mine.py]", "none", "4:9: losses is a list; it must be a map from names to files"),
        ("{mine: losses/wrong.py}", "mine", "4:16: losses/wrong.py:1:25: it is no Python "),
        ("{mine: losses/key.py}", "mine", "4:16: losses/key.py:1:17: the parameter `every` stands for something else"),
    ],
)
def test_what_is_wrong_is_told_once_with_its_place(losses, loss, said, own, capsys):
    Path("losses/needy.py").write_text("def loss(image, to): pass\n")
    Path("losses/words.py").write_text("def loss(image, of: str = 'x', n=1): pass\n")
    Path("losses/wrong.py").write_text("def loss(image): return return\n")
    Path("losses/key.py").write_text("def loss(image, every=1): pass\n")
    own.write_text(
        f"version: 1\nname: own\nmodel: demo\nlosses: {losses}\ndefaults:\n  prompt: a kite\n  steps: 2\n  size: 64x64\n"
        f"  loss: {loss}\n"
    )
    assert run_cli(["plan", str(own)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith(f"own.yaml:{said}")] == lines


def test_a_number_for_a_text_is_its_characters_and_true_is_true(own):
    Path("losses/mine.py").write_text("def loss(image, of: str = 'x', to: Literal['1', '2'] = '1', sure=False): pass\n")
    own.write_text(
        "version: 1\nmodel: demo\nlosses: {mine: losses/mine.py}\n"
        "defaults: {prompt: a kite, loss: {name: mine, of: 1.50, to: 2, sure: true}}\n"
    )
    ((draft, _, _),) = latentpress.read_manifest(own).drafts()
    (loss,) = draft.shape.values["loss"]
    assert loss.params == {"of": "1.50", "to": "2", "sure": True}


def test_what_is_none_of_some_numbers_is_told_with_them(own, capsys):
    Path("losses/mine.py").write_text("def loss(image, a: Literal[1, 2] = 1, b: Literal[True, 'x'] = 'x'): pass\n")
    for given, said in (("a: 3", "a of loss mine is '3'; it must be one of 1, 2"), ("b: y", "one of true, x")):
        head = "version: 1\nmodel: demo\nlosses: {mine: losses/mine.py}\n"
        own.write_text(f"{head}defaults: {{prompt: a, loss: {{name: mine, {given}}}}}\n")
        assert run_cli(["plan", str(own)]) == 2
        assert said in capsys.readouterr().err


def test_a_function_is_a_loss_from_python_as_its_file_is(own, assets):
    def seen(image, target: float = 0.2):
        shapes.append(tuple(image.shape))
        return (image.mean() - target) ** 2

    shapes: list[tuple[int, ...]] = []
    job = {"steps": 2, "size": "64x64", "loss": {"name": "own", "scale": 200, "target": 0.1, "every": 1}}
    Path("losses/dark.py").write_text(
        "def loss(image, target: float = 0.2):\n    return (image.mean() - target) ** 2\n"
    )
    made = [
        latentpress.render_picture(assets / "bundle", "a kite", losses={"own": given}, **job)
        for given in (seen, "losses/dark.py", Path("losses/dark.py"))
    ]
    assert shapes == [(3, 64, 64)] * 3, "twice on the way, once at the end"
    assert len({one.tobytes() for one in made}) == 1
    assert len({one.info["latentpress"] for one in made}) == 2, "the function's file is another"
    for losses, said in [
        ({"own": 1}, "loss own is of type int; give a function, or the path of a Python file"),
        ({"own": "dark"}, "loss own: 'dark' is no path of a Python file; give one, or a function"),
        ({}, "picture 1: unknown loss 'own'"),
    ]:
        with pytest.raises(latentpress.UsageError, match=said):
            latentpress.render_picture(assets / "bundle", "a kite", losses=losses, **job)


def test_a_function_is_a_loss_of_a_manifest_from_python(own, assets):
    def dark(image):
        calls.append(1)
        return image.mean()

    calls: list[int] = []
    Path("m.yaml").write_text(
        f"version: 1\nmodel: {assets / 'bundle'}\noutput: a.png\n"
        "defaults: {prompt: a kite, steps: 2, size: 64x64, loss: mine}\n"
    )
    with pytest.raises(latentpress.ManifestError, match="unknown loss 'mine'"):
        latentpress.read_manifest("m.yaml")
    with pytest.raises(latentpress.UsageError, match="loss mine is of type int"):
        latentpress.read_manifest("m.yaml", losses={"mine": 3})
    manifest = latentpress.read_manifest("m.yaml", losses={"mine": dark})
    folder = latentpress.OutputFolder(manifest, "out/own")
    assert folder.render().summary.done == 1, "nobody has to allow what the program itself brings"
    assert len(calls) == 2
    assert folder.render().summary.skipped == 1
    ((kept,),) = (codes().values(),)
    assert "def dark(image):" in json.dumps(kept)
