"""Single-file checkpoints against the diffusers and transformers models whose weights they hold."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import infer_diffusers_model_type
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from latentpress.export.families import family_config, family_named, write_clip_tokenizer
from latentpress.export.reading.ldm_config import text_config, unet_config, vae_config
from latentpress.export.reading.single_file import load_single_file, open_single_file
from ldm_names import (
    LEVELS,
    assert_same_weights,
    ldm_unet,
    ldm_vae,
    renamed,
    single_file_state,
    small_models,
    stored,
    text_encoder,
    without,
)

# What diffusers calls each family, and how many weights its UNet has. With the other parts' and two bytes each that is
# the size of the published files: sd_xl_base_1.0.safetensors 6.938 GB, sd_xl_refiner_1.0.safetensors 6.076 GB.
FAMILIES = {
    "sd1": ("v1", 859_520_964),
    "sd2": ("v2", 865_910_724),
    "sdxl": ("xl_base", 2_567_463_684),
    "sdxl_refiner": ("xl_refiner", 2_259_526_660),
}
CLASSES = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
}
# Entries that no weight shows: the sizes of pictures are the family's, the rest is bookkeeping.
FREE = {"sample_size", "upcast_attention", "force_upcast", "_class_name", "_diffusers_version", "_use_default_values"}
# What shapes and moves a text encoder, of all that transformers keeps in a configuration.
TEXT = (
    "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads max_position_embeddings hidden_act"
)


@pytest.fixture(scope="module")
def files(small, tmp_path_factory):
    """Family -> its small checkpoint in one file."""
    folder = tmp_path_factory.mktemp("files")
    for family, models in small.items():
        save_file(single_file_state(family, models), folder / f"{family}.safetensors")
    return {family: folder / f"{family}.safetensors" for family in small}


def settings(component: str, config) -> dict:
    """The configuration of the model that `config` makes, defaults filled in, without what is free."""
    with torch.device("meta"):
        if component.startswith("text"):
            made = CLASSES[component](CLASSES[component].config_class.from_dict(dict(config))).config.to_dict()
            projected = ["projection_dim"] if component == "text_encoder_2" else []
            return {key: made[key] for key in (*TEXT.split(), *projected)}
        made = CLASSES[component].from_config(dict(config)).config
    listed = {key: list(value) if isinstance(value, tuple) else value for key, value in made.items()}
    return {key: value for key, value in listed.items() if key not in FREE}


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_opens_bit_for_bit_with_its_configuration(small, files, family):
    models = small[family]
    found = open_single_file(files[family])
    assert found.family.name == family
    assert found.states.keys() == found.configs.keys() == models.keys()
    for name, model in models.items():
        assert_same_weights(found.states[name], model)
        wanted = model.config.to_dict() if name.startswith("text") else model.config
        assert settings(name, found.configs[name]) == settings(name, wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loaded_models_compute_what_the_originals_do(small, files, family):
    models = small[family]
    parts = load_single_file(files[family])
    assert parts.family.name == family
    generator = torch.Generator().manual_seed(3)
    sample = torch.randn(1, 4, 8, 8, generator=generator)
    states = torch.randn(1, 77, LEVELS[family]["cross_attention_dim"], generator=generator)
    added = None
    if parts.added_conditioning:
        shape = parts.added_conditioning
        added = {
            "text_embeds": torch.randn(1, shape.pooled_size, generator=generator),
            "time_ids": torch.full((1, shape.time_ids), 64.0),
        }

    def assert_close(found, expected):
        # The weights are the same bits at other addresses, which some kernels round differently for.
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)

    with torch.no_grad():
        assert_close(
            *(unet(sample, 500.0, states, added_cond_kwargs=added).sample for unet in (parts.unet, models["unet"]))
        )
        assert_close(parts.vae.decode(sample).sample, models["vae"].decode(sample).sample)
        for part in parts.texts:
            ids = part.tokenizer("a photo of a cat", padding="max_length", return_tensors="pt").input_ids
            assert_close(part.model(ids)[0], models[part.component](ids)[0])
    pads = [part.tokenizer.pad_token_id for part in parts.texts]
    assert pads == {"sd1": [49407], "sd2": [0], "sdxl": [49407, 0], "sdxl_refiner": [0]}[family]


def test_an_inpainting_file_names_its_pipeline(small, tmp_path):
    first = "model.diffusion_model.input_blocks.0.0.weight"
    for family, pipeline in (("sd1", "StableDiffusionInpaintPipeline"), ("sdxl", "StableDiffusionXLInpaintPipeline")):
        weight = torch.randn(64, 9, 3, 3)
        save_file(single_file_state(family, small[family]) | {first: weight}, tmp_path / "model.safetensors")
        found = open_single_file(tmp_path / "model.safetensors")
        assert (found.pipeline, found.configs["unet"]["in_channels"]) == (pipeline, 9)
        assert torch.equal(load_single_file(tmp_path / "model.safetensors").unet.conv_in.weight, weight)


class Callback:
    """Pickles under the name of the lightning class that SD 1's first checkpoints hold as a key."""


Callback.__module__, Callback.__qualname__ = "pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"
Callback.__name__ = "ModelCheckpoint"


def test_a_training_checkpoint_opens_by_its_weights_alone(small, tmp_path, monkeypatch):
    import sys
    import types

    import numpy as np

    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    module.ModelCheckpoint = Callback
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    state = single_file_state("sd1", small["sd1"])
    extra = {f"model_ema.{key.replace('.', '')}": value + 1 for key, value in state.items() if "diffusion" in key}
    extra |= {
        "model_ema.decay": torch.tensor(0.9999),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
        "cond_stage_model.transformer.logit_scale": torch.tensor(1.0),
        "alphas_cumprod": torch.ones(1000),
    }
    training = {"callbacks": {Callback: {"best": np.float64(1.0)}}, "epoch": 3, "global_step": 470000}
    torch.save({**training, "state_dict": state | extra}, tmp_path / "model.ckpt")
    monkeypatch.undo()
    found = open_single_file(tmp_path / "model.ckpt")
    for name, model in small["sd1"].items():
        assert_same_weights(found.states[name], model)
    load_single_file(tmp_path / "model.ckpt")


def test_names_of_merges_and_of_other_converters_are_understood(small, tmp_path):
    old = {
        key.replace("transformer.text_model.", "transformer."): value
        for key, value in single_file_state("sd1", small["sd1"]).items()
    }
    save_file(old, tmp_path / "merge.safetensors")
    assert_same_weights(
        open_single_file(tmp_path / "merge.safetensors").states["text_encoder"], small["sd1"]["text_encoder"]
    )
    # diffusers' own script for SDXL writes the projection under its own name, not transposed.
    state = single_file_state("sdxl", small["sdxl"])
    name = "conditioner.embedders.1.model.text_projection"
    state[f"{name}.weight"] = state.pop(name).T.contiguous()
    save_file(state, tmp_path / "xl.safetensors")
    assert_same_weights(
        open_single_file(tmp_path / "xl.safetensors").states["text_encoder_2"], small["sdxl"]["text_encoder_2"]
    )


def test_stable_diffusion_2_leaves_the_last_of_open_clips_24_layers_out(small, tmp_path):
    models = {**small["sd2"], "text_encoder": text_encoder(49408, 128, 23, "gelu", False)}
    whole = single_file_state("sd2", models)
    last = "cond_stage_model.model.transformer.resblocks.23."
    assert any(key.startswith(last) for key in whole)
    files = {
        "whole": whole,
        # diffusers' own script, converting back, has no layer to write there.
        "without": without(whole, last),
        "sgm": renamed(whole, "cond_stage_model.model.", "conditioner.embedders.0.model."),
    }
    for name, state in files.items():
        save_file(state, tmp_path / f"{name}.safetensors")
        found = open_single_file(tmp_path / f"{name}.safetensors")
        assert (found.family.name, found.configs["text_encoder"]["num_hidden_layers"]) == ("sd2", 23)
        assert_same_weights(found.states["text_encoder"], models["text_encoder"])


@pytest.mark.parametrize("family", FAMILIES)
def test_at_full_size_the_published_configurations_come_back(family):
    described = family_named(family)
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(family_config(described, "unet"))
        vae = AutoencoderKL.from_config(family_config(described, "vae"))
        texts = {
            name: CLASSES[name](CLASSES[name].config_class.from_dict(family_config(described, name)))
            for name in (encoder.name for encoder in described.text_encoders)
        }
        state = single_file_state(family, {"unet": unet, **texts})
    kind, weights = FAMILIES[family]
    assert infer_diffusers_model_type(state) == kind
    assert sum(parameter.numel() for parameter in unet.parameters()) == weights
    assert sum(parameter.numel() for parameter in vae.parameters()) == 83_653_863
    pooled = texts["text_encoder_2"].config.projection_dim if "text_encoder_2" in texts else None
    published = {"transformer_layers_per_block": 1, "use_linear_projection": False} | family_config(described, "unet")
    assert unet_config(ldm_unet(unet), described, pooled) == published
    filled = {"use_quant_conv": True, "use_post_quant_conv": True}
    assert vae_config(vae.state_dict(), described) == family_config(described, "vae") | filled
    for name, model in texts.items():
        assert text_config(model.state_dict(), described, name) == family_config(described, name)


def test_the_shipped_vocabulary_is_clips(tmp_path):
    assert write_clip_tokenizer(tmp_path, family_named("sd1").text_encoder("text_encoder")) == 49408
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path)
    # The ids of transformers' and OpenAI's own examples.
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenizer("a photo of a dog").input_ids == [49406, 320, 1125, 539, 320, 1929, 49407]
    assert tokenizer("hello world!").input_ids == [49406, 3306, 1002, 256, 49407]


def anonymous_memory() -> int:
    """Bytes of this process's memory that no file backs."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account of its memory")
def test_opening_maps_the_file_instead_of_reading_it(small, tmp_path):
    state = single_file_state("sd1", small["sd1"])
    state["cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight"] = torch.ones(1 << 18, 64)  # 67 MB
    save_file(state, tmp_path / "model.safetensors")
    torch.save({"state_dict": state}, tmp_path / "model.ckpt")
    for name in ("model.safetensors", "model.ckpt"):
        before = anonymous_memory()
        found = open_single_file(tmp_path / name)
        assert anonymous_memory() - before < 20_000_000
        assert found.configs["text_encoder"]["intermediate_size"] == 1 << 18


def test_a_separate_vae_counts_instead_of_the_files_own(files, tmp_path):
    other = small_models("sd1", vocabulary=1000, seed=7)["vae"]
    save_file(stored(ldm_vae(other)), tmp_path / "vae.safetensors")
    parts = load_single_file(files["sd1"], vae=tmp_path / "vae.safetensors")
    assert_same_weights(parts.vae.state_dict(), other)
