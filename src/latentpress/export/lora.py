"""Fuses LoRA files into loaded models: W += scale * (alpha / rank) * up @ down, in float32, all layers or none.

Hu et al., arXiv 2106.09685; convolutions as LoCon has them. `lora_file` knows how files name their layers.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from latentpress.bundle.info import Lora, file_sha256
from latentpress.errors import LoraError
from latentpress.export.families import FAMILIES, denoiser_config
from latentpress.export.families.family import Family
from latentpress.export.reading.lora_file import LoraFile, LoraLayer, read_lora

# The beginning of what trainers write into the header (ss_base_model_version, modelspec.architecture) -> what that is, for
# models of no family in the table.
_FOREIGN = {"sd3": "Stable Diffusion 3", "stable-diffusion-3": "Stable Diffusion 3", "flux": "Flux"}


def fuse_lora(path: Path, scale: float, models: Mapping[str, nn.Module], family: Family) -> Lora:
    """Fuse the LoRA at `path` into `models` (component -> torch model: unet, text_encoder, text_encoder_2), in place.

    Every layer is checked before the first is changed. Raises LoraError: the file is damaged, of another method, or does
    not fit the checkpoint.
    """
    path = Path(path)
    lora = read_lora(path, models)
    targets = [(layer, _target(lora, layer, models, family)) for layer in lora.layers]
    with torch.no_grad():
        for layer, module in targets:
            weight = module.weight
            change = (scale * layer.scale) * _product(layer).reshape(weight.shape)
            # Not back to half: rounding here would lose small changes, and `precision` casts what is to be half.
            weight.data = weight.float() + change.to(weight.device)
    return Lora(source=path.name, sha256=file_sha256(path), scale=scale, layers=len(targets))


def _target(lora: LoraFile, layer: LoraLayer, models: Mapping[str, nn.Module], family: Family) -> nn.Linear | nn.Conv2d:
    """The module `layer` changes; raises LoraError if there is none of its shape."""
    if layer.path is None:
        what = f"{layer.name} is not in the checkpoint"
        raise LoraError(f"{lora.path}: {_misfit(lora, models, family, what)}")
    module = models[layer.component].get_submodule(layer.path)
    assert isinstance(module, nn.Linear | nn.Conv2d)
    kernel = (layer.down if layer.mid is None else layer.mid).shape[2:]
    shape = (layer.up.shape[0], layer.down.shape[1], *kernel)
    if _plain(shape) != _plain(module.weight.shape) or any(side != 1 for side in layer.up.shape[2:]):
        sides = ["x".join(map(str, each)) for each in (_plain(shape), _plain(module.weight.shape))]
        what = f"{layer.name} changes {sides[0]} weights, the checkpoint has {sides[1]} there"
        raise LoraError(f"{lora.path}: {_misfit(lora, models, family, what)}")
    return module


def _plain(shape: tuple[int, ...] | torch.Size) -> tuple[int, ...]:
    """A shape without a 1x1 kernel: a linear layer and such a convolution are one thing."""
    return tuple(shape[:2]) if all(side == 1 for side in shape[2:]) else tuple(shape)


def _product(layer: LoraLayer) -> Tensor:
    """up @ down in float32, (out, in) or (out, in, h, w)."""
    up, down = layer.up.float().flatten(1), layer.down.float()
    if layer.mid is not None:
        return torch.einsum("oa,abhw,bi->oihw", up, layer.mid.float(), down.flatten(1))
    return (up @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])


def _misfit(lora: LoraFile, models: Mapping[str, nn.Module], family: Family, what: str) -> str:
    """The sentence for a LoRA that does not fit: by family where that explains it, by layer otherwise."""
    width = _text_width(lora)
    own = int(getattr(models.get("unet"), "config", {}).get("cross_attention_dim", 0)) if "unet" in models else 0
    apparent = _apparent(lora, width)
    if apparent is not None and apparent != family.title:
        return (
            f"a LoRA for {apparent}, the checkpoint is {family.title} ({what}); "
            "use the version of it made for this family, or leave it out"
        )
    if width is not None and own and width != own:
        return (
            f"a LoRA for text {width} wide, the checkpoint's is {own} wide, {family.title} ({what}); "
            "use one made for this family, or leave it out"
        )
    return f"{what}; use a LoRA made for {family.title} with these layers, or leave it out"


def _text_width(lora: LoraFile) -> int | None:
    """The width of the text its UNet attended to, None if it has no such layer."""
    layers = (layer for layer in lora.layers if layer.component == "unet")
    names = ("attn2_to_k", "attn2_to_v", "attn2.to_k", "attn2.to_v")
    return next((layer.down.shape[1] for layer in layers if layer.name.endswith(names)), None)


def _apparent(lora: LoraFile, width: int | None) -> str | None:
    """The family the LoRA seems to be for, as people call it."""
    families = tuple(FAMILIES.values())
    named = {start: family.title for family in families for start in family.lora_names} | _FOREIGN
    for key in ("ss_base_model_version", "modelspec.architecture"):
        said = lora.metadata.get(key, "").lower()
        for start, title in named.items():
            if said.startswith(start):
                return title
    # The width of the text that a UNet attends to, which every LoRA of its attention shows.
    widths = {denoiser_config(family)["cross_attention_dim"]: family.title for family in reversed(families)}
    if width in widths:
        return widths[width]
    names = [layer.name for layer in lora.layers]
    if any("double_blocks" in name or "single_transformer_blocks" in name for name in names):
        return "Flux"
    if any("joint_blocks" in name for name in names):
        return "Stable Diffusion 3"
    return next(
        (family.title for family in families if any(name.startswith(family.lora_marks) for name in names)), None
    )
