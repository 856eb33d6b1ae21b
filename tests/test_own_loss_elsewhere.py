"""Losses of one's own away from a manifest beside them: in `draw`, and in a pack that is unpacked elsewhere."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentpress.cli import run_cli

LOSS = """\
import helpers

open("ran", "w").close()

def loss(image, target: float = 0.9):
    return helpers.distance(image, target).mean()
"""


@pytest.fixture
def model(tmp_path, assets, monkeypatch):
    """A bundle; the current directory has a loss in losses/mine.py."""
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    Path("losses").mkdir()
    Path("losses/mine.py").write_text(LOSS)
    Path("losses/helpers.py").write_text("def distance(a, b):\n    return (a - b).abs()\n")
    return str(assets / "bundle")


def test_draw_takes_a_loss_file(model, capsys):
    base = [
        "draw",
        "a kite",
        "--model",
        model,
        "--steps",
        "2",
        "--size",
        "64x64",
        "--loss",
        "mine",
        "-o",
        "a.png",
    ]
    assert run_cli([*base, "--loss-file", "mine"]) == 2
    assert "--loss-file 'mine': write NAME=FILE, e.g. mine=losses/mine.py" in capsys.readouterr().err
    assert run_cli([*base, "--loss-file", "mine=losses/gone.py"]) == 2
    assert "losses/gone.py" in capsys.readouterr().err
    given = ["--loss-file", "mine=losses/mine.py"]
    assert run_cli([*base, *given]) == 2
    assert "add --allow-code" in capsys.readouterr().err
    assert not Path("ran").exists()
    assert run_cli([*base, *given, "--allow-code"]) == 0
    assert capsys.readouterr().out == "a.png\n"
    assert b"Loss guidance: mine" in Path("a.png").read_bytes()


def test_a_pack_with_a_loss_and_its_mask_renders_elsewhere(model, monkeypatch):
    Image.fromarray(np.repeat([[255, 0]], 2, 0).astype(np.uint8)).save("face.png")
    text = (
        "version: 1\nmodel: bundle\nlosses: {mine: losses/mine.py}\noutput: a.png\n"
        "defaults: {prompt: a kite, steps: 2, size: 64x64, loss: {name: mine, every: 1, mask: face.png}}\n"
    )
    Path("m.yaml").write_text(text)
    Path("bundle").symlink_to(model)
    assert run_cli(["render", "m.yaml", "--allow-code"]) == 0
    assert run_cli(["pack", "out/m", "-o", "m.zip"]) == 0
    shutil.unpack_archive("m.zip", "there")
    files = {str(path.relative_to("there/m/manifest")) for path in Path("there/m/manifest").rglob("*.*")}
    assert files == {"m.yaml", "face.png", "losses/mine.py", "losses/helpers.py"}
    here = Path("out/m/a.png").read_bytes()
    for gone in (Path("losses"), Path("out")):
        shutil.rmtree(gone)
    Path("there/m/manifest/bundle").symlink_to(model)
    monkeypatch.chdir("there/m")
    assert run_cli(["render", "manifest/m.yaml", "-o", "again", "--allow-code"]) == 0
    assert Path("again/a.png").read_bytes() == here
