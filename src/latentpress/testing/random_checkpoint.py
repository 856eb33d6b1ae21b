"""Writes small random checkpoints of each family, in the diffusers folder layout, from a seed, for tests and benchmarks."""

import json
from pathlib import Path
from typing import Any

import torch

from latentpress.export.families import denoiser_config, family_config, family_named, latents_of
from latentpress.export.families.clip_files import EOS
from latentpress.export.families.family import SCHEDULER, Family, TextEncoder, time_ids
from latentpress.testing.random_models import MAX_TOKENS, random_text_encoder, random_unet, random_vae
from latentpress.testing.words import write_tokenizer

# Which diffusers wrote the published schedulers' configurations.
_WRITTEN_BY = {"PNDMScheduler": "0.6.0", "DDIMScheduler": "0.8.0", "EulerDiscreteScheduler": "0.19.0.dev0"}
# What LCM_Dreamshaper_v7's scheduler has otherwise than Stable Diffusion 1's.
_LCM = {
    "_class_name": "LCMScheduler",
    "_diffusers_version": "0.23.0.dev0",
    "original_inference_steps": 50,
    "set_alpha_to_one": True,
    "rescale_betas_zero_snr": False,
    "timestep_spacing": "leading",
}


def build_checkpoint(
    folder: Path,
    *,
    family: str = "sd1",
    inpainting: bool = False,
    guidance: int | None = None,
    width: int = 32,
    size: int = 64,
    hidden: int = 64,
    seed: int = 0,
) -> Path:
    """Write a random checkpoint into `folder` (made if missing); the same arguments give the same weights.

    inpainting: a UNet of 9 channels. guidance: one distilled with guidance, as LCM's pipeline saves it, and the width of
    its scale's features, >= 4. width: the UNet's first level's channels, a multiple of 8. size: pixels a side, a
    multiple of 16. hidden: the (first) text encoder's width, a multiple of 16; SDXL's second is 16 wider.
    """
    if width % 8 or size % 16 or hidden % 16:
        raise ValueError(f"width {width} must be a multiple of 8, size {size} and hidden {hidden} of 16")
    made = family_named(family)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = 0
    for encoder in made.text_encoders:
        # SD 2's too is filled up with the end token: the same arguments go on giving the same checkpoint.
        pad = encoder.pad if encoder.pooled else EOS
        vocabulary = write_tokenizer(folder / encoder.tokenizer.name, max_length=MAX_TOKENS, pad=pad)
    latents = latents_of(made)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        models = {encoder.name: _text_encoder(encoder, made, vocabulary, hidden) for encoder in made.text_encoders}
        attended = sum(int(model.config.hidden_size) for model in models.values())
        channels = latents.unet_channels[inpainting]
        models["unet"] = _unet(made, width, size // 8, attended, hidden + 16, channels, guidance)
        models["vae"] = random_vae(size, latents.scaling_factor)
    for name, model in models.items():
        model.save_pretrained(folder / name, safe_serialization=True)
    (folder / SCHEDULER.name).mkdir(exist_ok=True)
    scheduler, index = _scheduler(made), pipeline_index(made, inpainting)
    if guidance is not None:
        scheduler |= _LCM
        index["scheduler"] = ["diffusers", _LCM["_class_name"]]
        if made.name == "sd1":  # there is no such pipeline of SDXL's
            index["_class_name"] = "LatentConsistencyModelPipeline"
    _write_json(folder / SCHEDULER.name / SCHEDULER.file, scheduler)
    _write_json(folder / "model_index.json", index)
    return folder


def _text_encoder(encoder: TextEncoder, family: Family, vocabulary: int, hidden: int) -> Any:
    activation = family_config(family, encoder.name)["hidden_act"]
    if encoder.pooled:
        wide = hidden + 16
        return random_text_encoder(vocabulary, wide, layers=3, activation=activation, projection=wide)
    # One layer more where the last is not used. SD 2's configuration has dropped it already: nothing else is penultimate
    # about it.
    layers = 3 if encoder.penultimate or encoder.drops_last_layer else 2
    return random_text_encoder(vocabulary, hidden, layers=layers, activation=activation)


def _unet(
    family: Family, width: int, latent_size: int, attended: int, pooled: int, channels: int, guidance: int | None
) -> Any:
    """Two levels, one with attention and one without, the first as the published UNet has it."""
    config = denoiser_config(family)
    levels: dict[str, Any] = {"in_channels": channels, "guidance": guidance}
    if config["down_block_types"][0] == "DownBlock2D":
        levels["down_block_types"] = ("DownBlock2D", "CrossAttnDownBlock2D")
        levels["up_block_types"] = ("CrossAttnUpBlock2D", "UpBlock2D")
    if family.denoiser.head_channels is not None:
        levels["attention_head_dim"] = (2, 4)
    if "transformer_layers_per_block" in config:
        levels["transformer_layers_per_block"] = (1, 2)
    if "use_linear_projection" in config:
        levels["use_linear_projection"] = config["use_linear_projection"]
    if "addition_embed_type" in config:
        levels["pooled"] = pooled
        levels["time_ids"] = time_ids(family_config(family, "model_index").get("requires_aesthetics_score", False))
    return random_unet(width, latent_size, attended, **levels)


def _scheduler(family: Family) -> dict[str, Any]:
    """The configuration as the published checkpoint has it, whoever wrote it included."""
    config = family_config(family, "scheduler")
    if config["_class_name"] == "PNDMScheduler":  # older than prediction types
        del config["prediction_type"]
    return {"_diffusers_version": _WRITTEN_BY.get(config["_class_name"], "0.30.0"), **config}


def pipeline_index(family: Family, inpainting: bool) -> dict[str, Any]:
    """The contents of model_index.json, with the classes and settings the published checkpoints have."""
    published = family_config(family, "model_index")
    pipeline = family.inpainting_pipeline if inpainting else published["_class_name"]
    index: dict[str, Any] = {
        "_diffusers_version": "0.30.0",
        **{each.name: [each.library, each.class_name] for each in family.components},
        "scheduler": ["diffusers", family_config(family, "scheduler")["_class_name"]],
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
    }
    if "force_zeros_for_empty_prompt" not in published:  # Stable Diffusion 1's and 2's pipelines, with a safety checker
        index |= {"requires_safety_checker": False, "safety_checker": [None, None]}
    elif pipeline != "StableDiffusionXLPipeline":
        index["requires_aesthetics_score"] = False
    if all(encoder.name != "text_encoder" for encoder in family.text_encoders):
        index |= {"text_encoder": [None, None], "tokenizer": [None, None]}
    return {**index, **published, "_class_name": pipeline}


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
