"""Writes a checkpoint of each family at its true size with random weights: what memory and speed are measured with."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from latentpress.bundle.info import Family
from latentpress.export.families import TEXT_ENCODERS, family_config, write_clip_tokenizer
from latentpress.export.reading.components import component_classes
from latentpress.testing.random_checkpoint import pipeline_index


def build_full_size(
    folder: Path,
    family: Family,
    *,
    dtype: torch.dtype = torch.float32,
    inpainting: bool = False,
    seed: int = 0,
) -> Path:
    """Write a checkpoint of `family` in the diffusers folder layout, of its published configuration and CLIP's tokenizers.

    The same arguments give the same weights, as large as torch makes those of new layers; norms are one, biases
    zero. In float32 Stable Diffusion 1.5 takes 4.3 GB, SDXL's base in float16 7 GB; memory is needed for the largest model
    only.
    """
    folder = Path(folder)
    generator = torch.Generator().manual_seed(seed)
    for name in (*TEXT_ENCODERS[family], "unet", "vae"):
        config = family_config(family, name)
        if name == "unet" and inpainting:
            config["in_channels"] = 9
        _write_model(folder / name, name, config, dtype, generator)
        if name.startswith("text_encoder"):
            write_clip_tokenizer(folder / name.replace("text_encoder", "tokenizer"), family, name)
    (folder / "scheduler").mkdir(exist_ok=True)
    _write_json(folder / "scheduler" / "scheduler_config.json", family_config(family, "scheduler"))
    _write_json(folder / "model_index.json", pipeline_index(family, inpainting, TEXT_ENCODERS[family]))
    return folder


def _write_model(
    folder: Path, component: str, config: dict[str, Any], dtype: torch.dtype, generator: torch.Generator
) -> None:
    kind = component_classes()[component]
    text = component.startswith("text_encoder")
    with torch.device("meta"):
        model: Any = kind(kind.config_class.from_dict(config)) if text else kind.from_config(config)
    state = {name: _weight(name, given, generator).to(dtype) for name, given in model.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", config)
    save_file(state, folder / f"{'' if text else 'diffusion_pytorch_'}model.safetensors", metadata={"format": "pt"})


def _weight(name: str, like: Tensor, generator: torch.Generator) -> Tensor:
    if like.ndim < 2:
        return torch.ones(like.shape) if name.endswith("weight") else torch.zeros(like.shape)
    if "embedding" in name:
        return torch.randn(like.shape, generator=generator) * 0.02
    bound = like[0].numel() ** -0.5
    return torch.empty(like.shape).uniform_(-bound, bound, generator=generator)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
