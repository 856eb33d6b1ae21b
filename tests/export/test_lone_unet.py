"""A UNet alone, exported with the checkpoint it belongs to, against the whole checkpoint with that UNet in it."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentpress.bundle.info import BaseCheckpoint, file_sha256, open_bundle
from latentpress.cli import run_cli
from latentpress.errors import CheckpointError
from latentpress.export.publish import write_info
from latentpress.export.reading.kinds import Asked
from latentpress.export.reading.lone_unet import name_of, open_with_base
from latentpress.export.reading.prediction import read_original_config
from latentpress.export.source import Source, load_source
from latentpress.models import facts_of
from latentpress.testing.corpus.checkpoints import models_of, write_folder
from latentpress.testing.corpus.unets import base_file
from ldm_names import ldm_unet, prefixed, single_file_state, small_models, stored
from single_files import SMALL, export


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """family -> a whole checkpoint of it."""
    folder = tmp_path_factory.mktemp("bases")
    found = {}
    for family in ("sd1", "sdxl"):
        (folder / family).mkdir()
        found[family] = base_file(family)(folder / family)
    return found


def lone(path, family="sd1", metadata=None, **more):
    """The UNet of the corpus in ComfyUI's names; more: tensors beside it."""
    save_file(stored(prefixed("diffusion_model.", ldm_unet(models_of(family)["unet"])) | more), path, metadata)
    return path


def test_a_unet_and_its_base_are_the_whole_checkpoint(bases, tmp_path):
    save_file(single_file_state("sd1", models_of("sd1")), tmp_path / "whole.safetensors", SMALL)
    whole = load_source(Source(tmp_path / "whole.safetensors"))
    unet = lone(tmp_path / "my style.safetensors", metadata=SMALL)
    found = load_source(Source(unet, base=bases["sd1"]))
    for name in ("unet", "vae"):
        state, expected = (getattr(each.parts, name).state_dict() for each in (found, whole))
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[key], expected[key]) for key in state)
        assert dict(getattr(found.parts, name).config) == dict(getattr(whole.parts, name).config)
    text, expected = (each.parts.texts[0].model.state_dict() for each in (found, whole))
    assert all(torch.equal(text[key], expected[key]) for key in expected)
    assert found.parts.scheduler == whole.parts.scheduler
    assert found.parts.latent_size == whole.parts.latent_size == 16
    assert (found.name, found.sha256) == ("my style", file_sha256(unet))
    assert found.base == BaseCheckpoint(source="base.safetensors", sha256=file_sha256(bases["sd1"]))
    assert whole.base is None
    note = "my style: a UNet of Stable Diffusion 1, epsilon: as base.safetensors; the other parts from base.safetensors"
    assert found.notes == [note]


def test_a_bundle_says_what_its_base_was_and_one_without_is_the_bytes_it_was(tmp_path, bundle, capsys):
    info = bundle.info
    write_info(tmp_path, info)
    assert (tmp_path / "bundle.json").read_bytes() == (bundle.path / "bundle.json").read_bytes()
    assert b'"base"' not in (tmp_path / "bundle.json").read_bytes()
    base = BaseCheckpoint(source="base.safetensors", sha256="ab" * 32)
    shutil.copytree(bundle.path, tmp_path / "lone")
    write_info(tmp_path / "lone", info.model_copy(update={"base": base}))
    opened = open_bundle(tmp_path / "lone")
    assert opened.info.base == base
    assert facts_of({"lone": opened})["lone"].base == base
    assert run_cli(["inspect", str(tmp_path / "lone")]) == 0
    assert "a UNet; its other parts from base.safetensors" in capsys.readouterr().out


@pytest.mark.full
def test_the_bundles_of_both_have_the_same_files(bases, tmp_path):
    save_file(single_file_state("sd1", models_of("sd1")), tmp_path / "whole.safetensors", SMALL)
    assert export(tmp_path / "whole.safetensors", "-o", tmp_path / "whole") == 0
    unet = lone(tmp_path / "unet.safetensors", metadata=SMALL)
    assert export(unet, "-o", tmp_path / "lone", "--base", bases["sd1"]) == 0
    whole, found = (open_bundle(tmp_path / name).info for name in ("whole", "lone"))
    assert found.files == whole.files
    assert found.base == BaseCheckpoint(source="base.safetensors", sha256=file_sha256(bases["sd1"]))


def test_the_command_hands_the_base_on(bases, tmp_path, capsys):
    unet = lone(tmp_path / "unet.safetensors")
    assert run_cli(["export", str(unet), "-o", str(tmp_path / "bundle"), "--base", str(bases["sdxl"])]) != 0
    assert f"{bases['sdxl']} is SDXL" in capsys.readouterr().err
    assert run_cli(["export", str(unet), "-o", str(tmp_path / "bundle")]) != 0
    assert "a lone UNet; give the checkpoint it belongs to with --base" in capsys.readouterr().err


def test_the_files_own_word_on_its_prediction_comes_before_the_bases(bases, tmp_path):
    def scheduler(asked=None, metadata=None, **more):
        path = lone(tmp_path / "unet.safetensors", "sdxl", metadata, **more)
        opened = open_with_base(path, bases["sdxl"], Asked(asked))
        return {"prediction_type": opened.prediction[0]} | dict(opened.scheduler)

    says_v = {"modelspec.prediction_type": "v"}
    assert scheduler()["prediction_type"] == "epsilon"
    assert scheduler(metadata=says_v)["prediction_type"] == "v_prediction"
    assert scheduler("epsilon", says_v)["prediction_type"] == "epsilon"
    found = scheduler(v_pred=torch.ones(1), ztsnr=torch.ones(1))
    assert (found["prediction_type"], found["rescale_betas_zero_snr"]) == ("v_prediction", True)
    assert found["timestep_spacing"] == "trailing"


def test_a_base_of_zero_terminal_snr_keeps_its_schedule_for_a_unet_that_says_nothing_else(tmp_path):
    base = write_folder(tmp_path / "base")
    path = base / "scheduler/scheduler_config.json"
    said = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    path.write_text(json.dumps(json.loads(path.read_text()) | said))
    unet = lone(tmp_path / "unet.safetensors")
    assert dict(open_with_base(unet, base, Asked()).scheduler).items() >= said.items()
    other = dict(open_with_base(unet, base, Asked("epsilon")).scheduler)
    assert other["prediction_type"] == "epsilon"
    assert not other.get("rescale_betas_zero_snr"), "noise cannot be predicted from pure noise"


def test_a_yaml_beside_the_unet_says_what_it_predicts(bases, tmp_path):
    unet = lone(tmp_path / "unet.safetensors")
    (tmp_path / "unet.yaml").write_text("model: {params: {parameterization: v, unet_config: {params: {num_heads: 4}}}}")
    assert read_original_config(unet)["num_heads"] == 4
    opened = open_with_base(unet, bases["sd1"], Asked())
    assert opened.prediction == ("v_prediction", "unet.yaml says so")
    assert opened.components().unet.config.attention_head_dim == 4


def test_an_inpainting_unet_and_the_vae_beside_a_unet_are_taken(bases, tmp_path):
    models = models_of("sd1") | {"unet": small_models("sd1", channels=9, vocabulary=1000)["unet"]}
    state = single_file_state("sd1", models)
    state = {key: value for key, value in state.items() if not key.startswith("cond_stage_model.")}
    changed = {key: value * 1.5 if key.startswith("first_stage_model.") else value for key, value in state.items()}
    save_file(changed, tmp_path / "inpainting.safetensors")
    parts = open_with_base(tmp_path / "inpainting.safetensors", bases["sd1"], Asked()).components()
    assert parts.unet_in_channels == 9
    weight = models["vae"].decoder.conv_in.weight
    assert torch.equal(parts.vae.decoder.conv_in.weight, weight * 1.5)
    # In diffusers' names, whose file does not say the rest of its configuration.
    save_file(stored(models["unet"].state_dict()), tmp_path / "diffusers.safetensors")
    parts = open_with_base(tmp_path / "diffusers.safetensors", bases["sd1"], Asked()).components()
    assert parts.unet_in_channels == 9
    assert torch.equal(parts.vae.decoder.conv_in.weight, weight)


def test_what_a_bundle_of_a_unet_is_called(tmp_path, monkeypatch):
    unet = tmp_path / "dreams" / "unet"
    unet.mkdir(parents=True)
    (unet / "diffusion_pytorch_model.fp16.safetensors").touch()
    (unet / "dreams-v2.safetensors").touch()
    assert name_of(unet) == name_of(unet / "diffusion_pytorch_model.fp16.safetensors") == "dreams"
    assert name_of(unet / "dreams-v2.safetensors") == "dreams-v2"
    snapshot = tmp_path / "models--someone--a-style" / "snapshots" / ("0" * 40) / "unet"
    snapshot.mkdir(parents=True)
    assert name_of(snapshot) == "someone/a-style"
    monkeypatch.chdir(unet.parent)
    assert name_of(type(unet)("unet")) == "dreams"


def refusal(path, base, **asked):
    with pytest.raises(CheckpointError) as caught:
        open_with_base(path, base, Asked(**asked)).components()
    text = str(caught.value)
    assert text.startswith(f"{path}")
    assert "\n" not in text
    return text


def test_what_is_no_unet_of_the_base_is_refused_in_one_sentence(bases, tmp_path):
    whole = tmp_path / "whole.safetensors"
    save_file(single_file_state("sd1", models_of("sd1")), whole)
    assert "a whole checkpoint, not a lone UNet; leave --base out" in refusal(whole, bases["sd1"])
    save_file({"weird": torch.ones(2)}, tmp_path / "weird.safetensors")
    assert "holds no UNet (it holds weird)" in refusal(tmp_path / "weird.safetensors", bases["sd1"])
    # The width of published UNets names their family.
    wide = load_file(lone(tmp_path / "sd2.safetensors", "sd2"))
    wide = {key: torch.zeros(value.shape[0], 1024) if "attn2.to_k" in key else value for key, value in wide.items()}
    save_file(wide, tmp_path / "sd2.safetensors")
    text = refusal(tmp_path / "sd2.safetensors", bases["sd1"])
    assert f"a UNet of Stable Diffusion 2, and {bases['sd1']} is Stable Diffusion 1" in text
    assert "give the checkpoint it belongs to with --base" in text
    assert "a UNet with text 64 wide" in refusal(lone(tmp_path / "sd1.safetensors"), bases["sdxl"])
    cut = load_file(lone(tmp_path / "cut.safetensors"))
    del cut["diffusion_model.input_blocks.1.0.in_layers.2.weight"]
    save_file(cut, tmp_path / "cut.safetensors")
    assert "down_blocks.0.resnets.0.conv1.weight is missing" in refusal(tmp_path / "cut.safetensors", bases["sd1"])
    folder = tmp_path / "vae"
    models_of("sd1")["vae"].save_pretrained(folder)
    assert "is of a 'AutoencoderKL'" in refusal(folder, bases["sd1"])
    assert "a whole checkpoint, not a lone UNet" in refusal(write_folder(tmp_path / "folder"), bases["sd1"])
