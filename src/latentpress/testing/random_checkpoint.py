"""Writes small random checkpoints of each family, in the diffusers folder layout, from a seed, for tests and benchmarks."""

import json
from pathlib import Path
from typing import Any, Literal

import torch

from latentpress.bundle.info import Family
from latentpress.export.families.clip_files import EOS
from latentpress.testing.random_models import MAX_TOKENS, random_text_encoder, random_unet, random_vae
from latentpress.testing.words import write_tokenizer

_SCALING = {"sd1": 0.18215, "sd2": 0.18215, "sdxl": 0.13025, "sdxl_refiner": 0.13025}
_TRAINING = {
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "trained_betas": None,
}
# The values of the published checkpoints.
_SCHEDULERS: dict[str, dict[str, Any]] = {
    "sd1": {
        "_class_name": "PNDMScheduler",
        "_diffusers_version": "0.6.0",
        **_TRAINING,
        "clip_sample": False,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
    },
    "sd2": {
        "_class_name": "DDIMScheduler",
        "_diffusers_version": "0.8.0",
        **_TRAINING,
        "clip_sample": False,
        "prediction_type": "v_prediction",
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
    },
    "sdxl": {
        "_class_name": "EulerDiscreteScheduler",
        "_diffusers_version": "0.19.0.dev0",
        **_TRAINING,
        "clip_sample": False,
        "interpolation_type": "linear",
        "prediction_type": "epsilon",
        "sample_max_value": 1.0,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "timestep_spacing": "leading",
        "use_karras_sigmas": False,
    },
}
_SCHEDULERS["sdxl_refiner"] = _SCHEDULERS["sdxl"]
_CLASSES = {
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
# SDXL's first level has no attention, its second two transformer layers an attention block.
_XL_LEVELS: dict[str, Any] = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2),
    "attention_head_dim": (2, 4),
    "use_linear_projection": True,
}


def build_checkpoint(
    folder: Path,
    *,
    family: Family = "sd1",
    inpainting: bool = False,
    width: int = 32,
    size: int = 64,
    hidden: int = 64,
    seed: int = 0,
) -> Path:
    """Write a random checkpoint into `folder` (made if missing); the same arguments give the same weights.

    inpainting: a UNet of 9 channels. width: the UNet's first level's channels, a multiple of 8. size: pixels a side, a
    multiple of 16. hidden: the (first) text encoder's width, a multiple of 16; SDXL's second is 16 wider.
    """
    if width % 8 or size % 16 or hidden % 16:
        raise ValueError(f"width {width} must be a multiple of 8, size {size} and hidden {hidden} of 16")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = {"sdxl": ("text_encoder", "text_encoder_2"), "sdxl_refiner": ("text_encoder_2",)}
    texts = names.get(family, ("text_encoder",))
    vocabulary = 0
    for name in texts:
        tokenizer = folder / name.replace("text_encoder", "tokenizer")
        vocabulary = write_tokenizer(tokenizer, max_length=MAX_TOKENS, pad="!" if name == "text_encoder_2" else EOS)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        models = {name: _text_encoder(family, name, vocabulary, hidden) for name in texts}
        attended = sum(int(model.config.hidden_size) for model in models.values())
        models["unet"] = _unet(family, width, size // 8, attended, hidden + 16, 9 if inpainting else 4)
        models["vae"] = random_vae(size, _SCALING[family])
    for name, model in models.items():
        model.save_pretrained(folder / name, safe_serialization=True)
    (folder / "scheduler").mkdir(exist_ok=True)
    _write_json(folder / "scheduler" / "scheduler_config.json", _SCHEDULERS[family])
    _write_json(folder / "model_index.json", pipeline_index(family, inpainting, texts))
    return folder


def _text_encoder(family: Family, name: str, vocabulary: int, hidden: int) -> Any:
    if name == "text_encoder_2":
        wide = hidden + 16
        return random_text_encoder(vocabulary, wide, layers=3, activation="gelu", projection=wide)
    # SD 2's configuration drops the last layer of OpenCLIP's encoder: nothing else is penultimate about it.
    layers = {"sd1": 2}.get(family, 3)
    return random_text_encoder(
        vocabulary, hidden, layers=layers, activation="gelu" if family == "sd2" else "quick_gelu"
    )


def _unet(family: Family, width: int, latent_size: int, attended: int, pooled: int, channels: int) -> Any:
    if family == "sd1":
        return random_unet(width, latent_size, attended, in_channels=channels)
    if family == "sd2":
        heads: dict[str, Any] = {"attention_head_dim": (2, 4), "use_linear_projection": True}
        return random_unet(width, latent_size, attended, in_channels=channels, **heads)
    time_ids = 5 if family == "sdxl_refiner" else 6
    return random_unet(
        width, latent_size, attended, pooled=pooled, time_ids=time_ids, in_channels=channels, **_XL_LEVELS
    )


def pipeline_index(family: Family, inpainting: bool, texts: tuple[str, ...]) -> dict[str, Any]:
    """The contents of model_index.json, with the classes and settings the published checkpoints have."""
    parts = ("unet", "vae", *texts, *(name.replace("text_encoder", "tokenizer") for name in texts))
    index: dict[str, Any] = {
        "_diffusers_version": "0.30.0",
        "scheduler": ["diffusers", _SCHEDULERS[family]["_class_name"]],
        **{name: _CLASSES[name] for name in parts},
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
    }
    mode: Literal["", "Img2Img", "Inpaint"] = "Inpaint" if inpainting else ""
    if family in ("sd1", "sd2"):
        index |= {"requires_safety_checker": False, "safety_checker": [None, None]}
        return {"_class_name": f"StableDiffusion{mode}Pipeline", **index}
    refiner = family == "sdxl_refiner"
    if refiner:
        mode = "Img2Img"
        index |= {"text_encoder": [None, None], "tokenizer": [None, None]}
    if mode:
        index["requires_aesthetics_score"] = refiner
    index["force_zeros_for_empty_prompt"] = not refiner
    return {"_class_name": f"StableDiffusionXL{mode}Pipeline", **index}


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
