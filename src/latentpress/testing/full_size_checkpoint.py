"""Writes a checkpoint of each family at its true size with random weights: what memory and speed are measured with."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from latentpress.export.families import family_config, family_named, latents_of, write_clip_tokenizer
from latentpress.export.families.family import SCHEDULER, Component
from latentpress.export.reading.components import weightless
from latentpress.testing.random_checkpoint import pipeline_index


def build_full_size(
    folder: Path,
    family: str,
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
    made = family_named(family)
    for component in made.models:
        config = family_config(made, component.name)
        if component == made.denoiser.component and inpainting:
            config["in_channels"] = latents_of(made).unet_channels[1]
        _write_model(folder / component.name, component, config, dtype, generator)
    for encoder in made.text_encoders:
        write_clip_tokenizer(folder / encoder.tokenizer.name, encoder)
    (folder / SCHEDULER.name).mkdir(exist_ok=True)
    _write_json(folder / SCHEDULER.name / SCHEDULER.file, family_config(made, "scheduler"))
    _write_json(folder / "model_index.json", pipeline_index(made, inpainting))
    return folder


def build_full_size_lora(path: Path, family: str, *, rank: int = 32, seed: int = 1) -> Path:
    """Write a LoRA in float16 of every linear layer and convolution of the UNet and the text encoders of `family`.

    As kohya's trainer names them, with LoCon's convolutions: at rank 32 0.6 GB for SDXL. Its matrices are random, a
    hundredth of a weight in size.
    """
    generator = torch.Generator().manual_seed(seed)
    made = family_named(family)
    prefixes = {made.denoiser.component.name: made.denoiser.lora_prefix}
    prefixes |= {encoder.name: encoder.lora_prefix for encoder in made.text_encoders}
    state: dict[str, Tensor] = {}
    for component in made.models:
        if component.name not in prefixes:
            continue
        with torch.device("meta"):
            model = weightless(component, family_config(made, component.name))
        for name, module in model.named_modules():
            if not isinstance(module, nn.Linear | nn.Conv2d):
                continue
            key = prefixes[component.name] + name.replace(".", "_")
            outputs, *inputs = module.weight.shape
            down = torch.randn(rank, *inputs, generator=generator) * module.weight[0].numel() ** -0.5
            up = torch.randn(outputs, rank, *(1,) * (len(inputs) - 1), generator=generator) * 0.01 * rank**-0.5
            state |= {f"{key}.lora_down.weight": down.half(), f"{key}.lora_up.weight": up.half()}
            state[f"{key}.alpha"] = torch.tensor(float(rank))
    save_file(state, path)
    return path


def _write_model(
    folder: Path, component: Component, config: dict[str, Any], dtype: torch.dtype, generator: torch.Generator
) -> None:
    with torch.device("meta"):
        model = weightless(component, config)
    state = {name: _weight(name, given, generator).to(dtype) for name, given in model.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", config)
    start = "diffusion_pytorch_" if component.library == "diffusers" else ""
    save_file(state, folder / f"{start}model.safetensors", metadata={"format": "pt"})


def _weight(name: str, like: Tensor, generator: torch.Generator) -> Tensor:
    if like.ndim < 2:
        return torch.ones(like.shape) if name.endswith("weight") else torch.zeros(like.shape)
    if "embedding" in name:
        return torch.randn(like.shape, generator=generator) * 0.02
    bound = like[0].numel() ** -0.5
    return torch.empty(like.shape).uniform_(-bound, bound, generator=generator)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
