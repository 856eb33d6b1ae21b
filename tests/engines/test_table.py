"""An engine is one object and one line of the table: a new one is found by all that knows engines."""

import json
import shutil

import pytest

from latentpress.bundle.info import open_bundle
from latentpress.cli import run_cli
from latentpress.engines import table
from latentpress.engines.choice import choices, engine_called, parse_engine
from latentpress.engines.cpu import OnnxCpuSession
from latentpress.engines.engine import Engine, EngineChoice, Refusal, provider_of
from latentpress.engines.opening import open_session
from latentpress.errors import UsageError

MANIFEST = """\
version: 1
name: one
model: {bundle}
defaults: {{prompt: a mouse, steps: 2, size: 64x64, sampler: ddim}}
jobs: [{{seed: 1}}]
output: "{{seed}}.png"
"""


class AbacusSession(OnnxCpuSession):
    note = "beads"

    def __init__(self, path, choice):
        super().__init__(path, 1)
        self.engine = choice


ABACUS = Engine(
    "abacus",
    open=lambda bundle, component, choice, threads: AbacusSession(bundle.file(f"{component}.onnx"), choice),
    precisions=("wood", "ivory"),
    refusals=(Refusal("fp16", "an abacus has no half beads", "--precision fp32"),),
    bound=lambda own, bundle, asked: 0.5,
    packages=("pydantic",),
    install="pip install 'latentpress[abacus]'",
)


@pytest.fixture
def copy(monkeypatch, assets, tmp_path):
    """A bundle's folder, where there is an abacus."""
    monkeypatch.setattr(table, "ENGINES", (*table.ENGINES, ABACUS))
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(assets / "bundle", tmp_path / "bundle")


def test_a_new_engine_is_asked_for_opened_and_called_by_its_name(copy):
    bundle, ivory = open_bundle(copy), parse_engine("abacus:ivory")
    assert parse_engine("abacus:wood") == EngineChoice(ABACUS)
    session = open_session(bundle, "unet", ivory)
    assert provider_of(session) == "abacus-ivory-beads"
    assert engine_called("abacus-ivory-beads") == "abacus:ivory"
    assert engine_called("abacus-wood") == "abacus"
    with pytest.raises(UsageError, match="it must be one of cpu, openvino, cuda, tensorrt, tensorrt-rtx, abacus"):
        parse_engine("gpu")
    with pytest.raises(UsageError, match="openvino:bf16 and abacus:ivory are the only ones"):
        parse_engine("cpu:ivory")
    halved = bundle.info.model_copy(update={"precision": "fp16"})
    with pytest.raises(UsageError, match="exported in fp16, and an abacus has no half beads"):
        open_session(type(bundle)(copy, halved, ""), "unet", ivory)


def test_a_new_engine_is_found_by_the_commands(copy, capsys):
    def said(*arguments):
        assert run_cli([*arguments]) == 0
        return capsys.readouterr().out

    (finding,) = [found for found in json.loads(said("doctor", "--json"))["engines"] if found["engine"] == "abacus"]
    assert finding["ready"]
    assert finding["why"].startswith("pydantic 2")
    assert json.loads(said("inspect", str(copy), "--json"))["runs_on"][-1] == "abacus"
    for command in ("render", "engines"):
        assert "tensorrt-rtx, abacus or abacus:ivory" in " ".join(said(command, "--help").replace("│", "").split())

    made = json.loads(said("engines", str(copy), "--engine", "abacus:ivory", "--json"))["engines"]
    for record in made:
        assert (record["key"]["engine"], record["key"]["precision"]) == ("abacus:ivory", "ivory")
        assert record["key"]["provider"].startswith("pydantic 2")
        assert {row["bound"] for row in record["parity"]} == {0.5}
    assert (copy / "engines" / "abacus-ivory" / "unet.json").exists()
    assert said("engines", str(copy), "--engine", "abacus:ivory").count("is already there") == len(made)
    (copy / "engines" / "abacus-ivory" / "unet.json").write_text("{")
    assert run_cli(["engines", str(copy)]) == 2
    assert "--engine abacus:ivory --rebuild" in capsys.readouterr().err


def test_a_new_engine_renders_and_keeps_its_folder(copy, tmp_path, capsys):
    manifest = tmp_path / "one.yaml"
    manifest.write_text(MANIFEST.format(bundle=copy))
    assert run_cli(["render", str(manifest), "--engine", "abacus", "-o", str(tmp_path / "out")]) == 0
    from PIL import Image

    with Image.open(tmp_path / "out" / "1.png") as picture:
        assert json.loads(picture.text["latentpress"])["engine"] == "abacus"
    capsys.readouterr()
    assert run_cli(["render", str(manifest), "--engine", "cpu", "-o", str(tmp_path / "out")]) == 2
    assert "1 picture was rendered on engine abacus, and this run would use cpu" in capsys.readouterr().err


# As they stand in ledgers and pictures that people have: none of them may ever change.
STORED = {
    "cpu": "onnxruntime-cpu",
    "openvino": "openvino-f32",
    "openvino:bf16": "openvino-bf16",
    "cuda": "onnxruntime-cuda",
    "tensorrt": "onnxruntime-tensorrt",
    "tensorrt-rtx": "tensorrt-rtx",
}


def test_what_is_stored_of_an_engine_stays_and_leads_back_to_it():
    assert {str(choice): choice.stored for choice in choices()} == STORED
    assert {engine_called(stored): stored for stored in STORED.values()} == STORED
    assert engine_called("onnxruntime-cuda-graphs") == "cuda"
    assert engine_called("torch-cpu") == "torch-cpu", "no engine of the table"
