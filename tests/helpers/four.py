"""A folder with two of four pictures, made by the fakes on a real bundle, and what befalls it and its manifest."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from fakes import FakeExecutor
from latentpress.cli import run_cli

# Four pictures, of which the folder has two; one of the others has a loss.
MANIFEST = """\
version: 1
name: four
model: {bundle}
defaults: {{prompt: a mouse, steps: 1, size: 64x64, sampler: ddim}}
jobs:
  - {{seed: 1..3}}
  - {{seed: 4, loss: {{name: canny, scale: 100}}}}
output: "{{seed}}.png"
"""


class Executor(FakeExecutor):
    def __init__(self, *_):
        super().__init__()

    def close(self):
        pass


@pytest.fixture
def begun(tmp_path, assets, monkeypatch):
    """The folder `out`, with two of four pictures, as if they had been made on the bundle's engine."""
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name in ("LocalExecutor", "SupervisedExecutor"):
        monkeypatch.setattr(f"latentpress.batch.executors.choice.{name}", Executor)
    (tmp_path / "m.yaml").write_text(MANIFEST.format(bundle=assets / "bundle"))
    assert run_cli(["render", "m.yaml", "-o", "out", "--only", "[12].png"]) == 0
    change("provider='onnxruntime-cpu'")
    return tmp_path / "out"


def change(columns):
    with closing(sqlite3.connect("out/.latentpress/ledger.sqlite")) as ledger, ledger:
        ledger.execute(f"UPDATE images SET {columns}")


def manifest(old, new):
    def change(out, patch):
        path = out.parent / "m.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def exchanged(path):
    shutil.copy(path.with_name("vae_encoder.onnx"), path)


def bundle(name, damage):
    """A copy of the bundle, one of whose files is damaged."""

    def change(out, patch):
        text = (out.parent / "m.yaml").read_text()
        model = text.partition("model: ")[2].partition("\n")[0]
        shutil.copytree(model, out.parent / "copy")
        damage(out.parent / "copy" / name)
        (out.parent / "m.yaml").write_text(text.replace(model, "copy"))

    return change
