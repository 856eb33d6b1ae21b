"""The sentence for a LoRA that does not fit the checkpoint: by family where that explains it, by layer otherwise."""

from collections.abc import Mapping

from torch import nn

from latentpress.export.families import FAMILIES, denoiser_config
from latentpress.export.families.family import Family
from latentpress.export.lora_methods import text_width
from latentpress.export.reading.lora_file import LoraFile

# The beginning of what trainers write into the header (ss_base_model_version, modelspec.architecture) -> what that is, for
# models of no family in the table.
_FOREIGN = {"sd3": "Stable Diffusion 3", "stable-diffusion-3": "Stable Diffusion 3", "flux": "Flux"}
# A part of a layer's name -> the model of no family here that has such layers.
_FOREIGN_LAYERS = {
    "double_blocks": "Flux",
    "single_transformer_blocks": "Flux",
    "joint_blocks": "Stable Diffusion 3",
    "add_k_proj": "Stable Diffusion 3",
}


def misfit(lora: LoraFile, models: Mapping[str, nn.Module], family: Family, what: str, way_out: str = "") -> str:
    """The sentence for `lora`, of which `what` does not fit; way_out: what else could be done, if it is about one layer."""
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
    return f"{what}; use a LoRA made for {family.title} with these layers, or leave it out{way_out}"


def _text_width(lora: LoraFile) -> int | None:
    """The width of the text its UNet attended to, None if it has no such layer."""
    layers = (layer for layer in lora.layers if layer.component == "unet")
    names = ("attn2_to_k", "attn2_to_v", "attn2.to_k", "attn2.to_v")
    widths = (text_width(layer.parts) for layer in layers if layer.name.endswith(names))
    return next((width for width in widths if width is not None), None)


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
    for mark, title in _FOREIGN_LAYERS.items():
        if any(mark in name for name in names):
            return title
    return next(
        (family.title for family in families if any(name.startswith(family.lora_marks) for name in names)), None
    )
