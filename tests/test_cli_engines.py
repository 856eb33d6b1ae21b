"""The commands about engines: what they print, as JSON too, and what they refuse before anything is made."""

import json
import shutil

import pytest

from latentpress.cli import run_cli
from published import read

MANIFEST = """\
version: 1
name: one
model: {bundle}
defaults: {{prompt: a mouse, steps: 2, size: 64x64, sampler: ddim}}
jobs: [{{seed: 1}}]
output: "{{seed}}.png"
"""


@pytest.fixture
def copy(assets, tmp_path):
    return shutil.copytree(assets / "bundle", tmp_path / "bundle")


@pytest.fixture
def manifest(assets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where out/NAME comes to be
    (tmp_path / "one.yaml").write_text(MANIFEST.format(bundle=assets / "bundle"))
    return tmp_path / "one.yaml"


def test_inspect_shows_what_was_measured(assets, bundle, capsys):
    assert run_cli(["inspect", str(assets / "bundle"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["hash"], found["precision"], found["flavour"], found["engine"]) == (
        bundle.hash,
        "fp32",
        "plain",
        "cpu",
    )
    assert found["runs_on"] == ["cpu", "openvino", "cuda", "tensorrt", "tensorrt-rtx"]
    assert found["parity"] == [row.model_dump() for row in bundle.info.parity]
    assert {test["component"] for test in found["row_tests"]} == {"text_encoder", "unet", "vae_encoder", "vae_decoder"}
    assert run_cli(["inspect", str(assets / "bundle")]) == 0
    text = capsys.readouterr().out
    assert text.count("PSNR") == len(bundle.info.parity)
    assert "the same bits in batches of 1, 2, 3, 4, 8" in text


def test_doctor_names_every_engine(capsys):
    assert run_cli(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    engines = {entry["engine"]: entry for entry in found["engines"]}
    assert {"cpu", "openvino", "openvino:bf16", "cuda", "tensorrt", "tensorrt-rtx"} <= engines.keys()
    assert engines["cpu"]["ready"]
    assert run_cli(["doctor"]) == 0
    assert "ready cpu" in capsys.readouterr().out


def test_an_engine_is_proved_recorded_and_shown(copy, capsys):
    assert run_cli(["engines", str(copy)]) == 0
    assert "no engines yet" in capsys.readouterr().out
    assert run_cli(["engines", str(copy), "--engine", "cpu", "--threads", "1", "--json"]) == 0
    made = read("engines", capsys.readouterr().out)["engines"]
    assert all(record["parity"] and record["row_test"]["equal"] for record in made)
    assert {record["key"]["engine"] for record in made} == {"cpu"}
    assert sorted(file.name for file in (copy / "engines" / "cpu").iterdir()) == [
        "text_encoder.json",
        "unet.json",
        "vae_decoder.json",
        "vae_encoder.json",
    ]
    assert run_cli(["engines", str(copy), "--engine", "cpu"]) == 0
    assert capsys.readouterr().out.count("is already there") == 4
    assert run_cli(["inspect", str(copy)]) == 0
    assert "engine cpu/unet: onnxruntime" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine", "tensort"], "did you mean 'tensorrt'?"),
        (["--engine", "cpu", "--size", "big"], "--size big: must be WIDTHxHEIGHT"),
        (["--engine", "tensorrt-rtx", "--device", "4090"], "must be a GPU's architecture"),
    ],
)
def test_what_engines_refuses(arguments, said, copy, capsys):
    assert run_cli(["engines", str(copy), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (copy / "engines").exists()


def test_render_takes_an_engine_and_refuses_one_that_cannot_be(manifest, capsys):
    assert run_cli(["render", str(manifest), "--engine", "gpu"]) == 2
    assert "engine 'gpu' is unknown" in capsys.readouterr().err
    assert not (manifest.parent / "out").exists()
    assert run_cli(["render", str(manifest), "--engine", "cpu", "--threads", "1"]) == 0
    assert (manifest.parent / "out" / "one" / "1.png").exists()


def test_render_without_the_gpu_says_what_is_missing(manifest, monkeypatch, capsys):
    from latentpress.engines import devices

    monkeypatch.setattr(devices, "gpus", list)
    for engine, said in [("tensorrt", "lists no NVIDIA GPU"), ("tensorrt-rtx", "lists no NVIDIA GPU")]:
        assert run_cli(["render", str(manifest), "--engine", engine]) == 3
        assert said in capsys.readouterr().err


def test_render_refuses_prompts_longer_than_the_engine_before_it_costs(assets, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    long = MANIFEST.replace("a mouse", '"' + "a house " * 40 + '", long_prompts: chunks')
    (tmp_path / "long.yaml").write_text(long.format(bundle=assets / "bundle"))
    assert run_cli(["render", str(tmp_path / "long.yaml"), "--engine", "tensorrt"]) == 2
    said = capsys.readouterr().err
    assert (
        "a prompt takes 2 chunks (long_prompts: chunks), and tensorrt engines are built for the tokens of one" in said
    )
    assert not (tmp_path / "out").exists()
