"""The table of families: what each entry promises is there, and one object and one line more are a family more."""

import json

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from latentpress.cli import app, run_cli
from latentpress.errors import CheckpointError, LoraError, UsageError
from latentpress.export.families import FAMILIES, family_config, family_named, latents_of
from latentpress.export.reading.checkpoint import load_components
from latentpress.export.reading.lora_file import read_lora
from latentpress.export.reading.single_file import open_single_file
from latentpress.export.source import Source, load_source
from latentpress.testing.random_checkpoint import build_checkpoint
from ldm_names import assert_same_weights, renamed, single_file_state
from lora_files import fuse_lora
from made_up_family import SKETCH


@pytest.mark.parametrize("name", FAMILIES)
def test_an_entry_has_the_classes_and_the_configurations_it_names(name):
    family = family_named(name)
    assert family.name == name
    index = family_config(family, "model_index")
    assert {index["_class_name"], family.inpainting_pipeline} <= set(family.pipelines)
    for component in family.models:
        config = family_config(family, component.name)
        named = config.get("_class_name") or config["architectures"][0]
        assert component.load_class().__name__ == named == component.class_name
    assert all(encoder.tokenizer.load_class().__name__ == "CLIPTokenizer" for encoder in family.text_encoders)
    widths = (family_config(family, encoder.name)["hidden_size"] for encoder in family.text_encoders)
    assert sum(widths) == family_config(family, "unet")["cross_attention_dim"]
    assert latents_of(family).unet_channels == (4, 9)


def test_the_help_names_every_family():
    said = " ".join(CliRunner().invoke(app, ["export", "--help"], env={"COLUMNS": "300"}).output.split())
    assert f"{', '.join([*FAMILIES][:-1])} or {[*FAMILIES][-1]}" in said


def test_a_family_that_is_not_in_the_table_is_refused_with_the_table(tmp_path):
    with pytest.raises(UsageError, match="family 'sd9' is unknown; it must be one of sd1, sd2, sdxl, sdxl_refiner"):
        load_source(Source(tmp_path, family="sd9"))


@pytest.fixture
def added(monkeypatch):
    """The table with one line more."""
    monkeypatch.setitem(FAMILIES, SKETCH.name, SKETCH)


@pytest.fixture
def file(small, tmp_path):
    """A single file in the names of the made-up family."""
    state = single_file_state("sd1", small["sd1"])
    for old, new in (
        ("model.diffusion_model.", "sketch_unet."),
        ("cond_stage_model.transformer.", "sketch_text."),
        ("first_stage_model.", "sketch_vae."),
    ):
        state = renamed(state, old, new)
    save_file(state, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_without_its_line_a_family_is_unknown(file):
    with pytest.raises(CheckpointError, match="of no known family"):
        open_single_file(file)


def test_with_its_line_a_single_file_is_recognised_and_read(added, small, file):
    found = open_single_file(file)
    assert (found.family, found.prediction) == (SKETCH, "epsilon: the family's usual")
    for name, model in small["sd1"].items():
        assert_same_weights(found.states[name], model)
    loaded = load_source(Source(file, family="sketch"))
    assert loaded.notes == ["model.safetensors: Sketch Diffusion, epsilon: the family's usual"]
    assert (loaded.parts.family, loaded.parts.texts[0].tokenizer.pad_token_id) == (SKETCH, 0)
    assert_same_weights(loaded.parts.unet.state_dict(), small["sd1"]["unet"])
    with pytest.raises(CheckpointError, match="is Sketch Diffusion, not Stable Diffusion 1, as the family asked for"):
        load_source(Source(file, family="sd1"))


def test_what_it_lacks_is_said_in_its_own_words(added, small, tmp_path):
    unet = {key: value for key, value in single_file_state("sd1", small["sd1"]).items() if "diffusion_model" in key}
    save_file(renamed(unet, "model.diffusion_model.", "sketch_unet."), tmp_path / "unet.safetensors")
    with pytest.raises(CheckpointError, match=r"holds a sketching UNet without its text encoder; give the whole"):
        open_single_file(tmp_path / "unet.safetensors")


def test_with_its_line_a_folder_is_recognised_and_read(added, tmp_path):
    folder = build_checkpoint(tmp_path / "checkpoint", family="sketch", width=16, hidden=32)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "SketchPipeline"}))
    assert load_components(folder).family == SKETCH
    (folder / "model_index.json").write_text(json.dumps(index))
    assert load_components(folder).family.name == "sd1"


def test_with_its_line_its_loras_are_told(added, small, tmp_path):
    key = "lora_sketch_text_model_encoder_layers_0_mlp_fc1"
    state = {f"{key}.lora_down.weight": torch.ones(2, 64), f"{key}.lora_up.weight": torch.ones(128, 2)}
    save_file(state, tmp_path / "lora.safetensors", {"ss_base_model_version": "sketch_v1"})
    (layer,) = read_lora(tmp_path / "lora.safetensors", small["sd1"]).layers
    assert (layer.component, layer.path) == ("text_encoder", "text_model.encoder.layers.0.mlp.fc1")
    wrong = {f"{key}.lora_down.weight": torch.ones(2, 9), f"{key}.lora_up.weight": torch.ones(128, 2)}
    save_file(wrong, tmp_path / "wrong.safetensors", {"ss_base_model_version": "sketch_v1"})
    with pytest.raises(LoraError, match="a LoRA for Sketch Diffusion, the checkpoint is Stable Diffusion 1"):
        fuse_lora(tmp_path / "wrong.safetensors", 1.0, small["sd1"], family_named("sd1"))


def test_the_command_line_knows_it(added, tmp_path, capsys):
    assert run_cli(["export", str(tmp_path), "-o", str(tmp_path / "bundle"), "--family", "nonsense"]) != 0
    assert "sdxl, sdxl_refiner, sketch" in capsys.readouterr().err
