"""A case's checkpoint in the diffusers folder layout: the published configuration, random weights from a fixed seed."""

from pathlib import Path

import torch

from gpu.settings import Case
from latentpress.export.components import component_classes
from latentpress.export.families import TEXT_ENCODERS, family_config, write_clip_tokenizer
from latentpress.export.random_checkpoint import build_checkpoint

_DONE = "complete"


def make_checkpoint(case: Case, folder: Path, *, full_size: bool) -> Path:
    """The checkpoint in `folder`, made there first unless it is whole already.

    The text encoders and the UNet are stored in float16, the VAE in float32; half a minute for SDXL, 7 GB.
    """
    if (folder / _DONE).exists():
        return folder
    # Scheduler and model_index.json are a small checkpoint's; at full size the models and tokenizers are replaced.
    build_checkpoint(folder, family=case.family, size=case.side if not full_size else 64)
    for name in ("unet", "vae", *TEXT_ENCODERS[case.family]) if full_size else ():
        if name.startswith("text_encoder"):
            write_clip_tokenizer(folder / name.replace("text_encoder", "tokenizer"), case.family, name)
        save_random_model(case, name, folder / name)
    (folder / _DONE).touch()
    return folder


def save_random_model(case: Case, name: str, folder: Path) -> None:
    """One component with the weights its library draws for a new model."""
    torch.manual_seed(15)
    config, kind = family_config(case.family, name), component_classes()[name]
    text = name.startswith("text_encoder")
    model = kind(kind.config_class.from_dict(config)) if text else kind.from_config(config)
    for old in folder.glob("*.safetensors"):
        old.unlink()
    (model if name == "vae" else model.half()).save_pretrained(folder, max_shard_size="20GB")
