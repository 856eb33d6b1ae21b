"""Finds the module that a LoRA file means by a name, whichever program wrote it.

All names are compared with underscores for dots, as kohya's trainer writes them. What stands before a module's path says
which model it is in; the path is diffusers' and transformers', or, for the UNet, the one in Stability AI's ldm and sgm.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from latentpress.export.families import FAMILIES
from latentpress.export.reading.clip_versions import module_names

# Beside kohya's prefixes, which the families have: diffusers' (and OneTrainer's newer), ComfyUI's, LyCORIS' own.
_PREFIXES = {
    "model_diffusion_model_": "unet",
    "diffusion_model_": "unet",
    "lycoris_": "unet",
    "unet_": "unet",
    "text_encoders_clip_l_transformer_": "text_encoder",
    "text_encoders_clip_h_transformer_": "text_encoder",
    "text_encoders_clip_g_transformer_": "text_encoder_2",
    "clip_l_": "text_encoder",
    "clip_h_": "text_encoder",
    "clip_g_": "text_encoder_2",
    "text_encoder_2_": "text_encoder_2",
    "text_encoder_": "text_encoder",
}
# diffusers' function numbers sgm's blocks as its own, and leaves these names to be changed.
_SGM_LAYERS = {
    "input_blocks": "down_blocks",
    "middle_block": "mid_block",
    "output_blocks": "up_blocks",
    "in_layers_0": "norm1",
    "in_layers_2": "conv1",
    "out_layers_0": "norm2",
    "out_layers_3": "conv2",
    "emb_layers_1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
    "downsamplers_0_op": "downsamplers_0_conv",
}
_SGM_ENDS = {
    "input_blocks_0_0": "conv_in",
    "out_0": "conv_norm_out",
    "out_2": "conv_out",
    "time_embed_0": "time_embedding_linear_1",
    "time_embed_2": "time_embedding_linear_2",
    "label_emb_0_0": "add_embedding_linear_1",
    "label_emb_0_2": "add_embedding_linear_2",
}
# diffusers named layers so before PEFT did.
_OLD_NAMES = (
    (r"_processor_to_", "_to_"),
    (r"_self_attn_to_([qkv])$", r"_self_attn_\1_proj"),
    (r"_self_attn_to_out$", "_self_attn_out_proj"),
    (r"_to_out$", "_to_out_0"),
)


class LayerNames:
    """The layers of `models` (component -> torch model) by the names that files may have for them."""

    def __init__(self, models: Mapping[str, nn.Module]) -> None:
        self._unet = models.get("unet")
        self._tables = {component: _table(model) for component, model in models.items()}

    def find(self, name: str) -> tuple[str, str | None]:
        """(component, path of the module in it, None if it has none) of the layer that a file calls `name`."""
        plain = name.replace(".", "_")
        for prefix, component in _all_prefixes().items():
            if plain.startswith(prefix):
                inner = plain.removeprefix(prefix).removeprefix("base_model_model_")
                return component, self._path(component, inner)
        # Without a prefix: older diffusers, PEFT's adapters, OneTrainer.
        inner = plain.removeprefix("base_model_model_")
        found = ((component, self._path(component, inner)) for component in ("unet", *self._tables))
        return next(((component, path) for component, path in found if path is not None), ("unet", None))

    def _path(self, component: str, name: str) -> str | None:
        table = self._tables.get(component, {})
        if name in table:
            return table[name]
        for pattern, new in _OLD_NAMES:
            name = re.sub(pattern, new, name)
        if component == "unet" and name not in table:
            name = self._from_sgm(name)
        return table.get(name)

    def _from_sgm(self, name: str) -> str:
        """The name of a layer in sgm's UNet -> that in diffusers'; others are given back."""
        from diffusers.loaders.lora_conversion_utils import (
            _maybe_map_sgm_blocks_to_diffusers,  # pyright: ignore[reportPrivateUsage]
        )

        if name in _SGM_ENDS:
            return _SGM_ENDS[name]
        if self._unet is None or not re.match(r"(input_blocks|middle_block|output_blocks)_", name):
            return name
        config: Any = self._unet.config
        try:
            # One at a time: of a mixture it would drop these silently.
            (new,) = _maybe_map_sgm_blocks_to_diffusers({f"lora_unet_{name}": 0}, config)
        except (ValueError, IndexError, KeyError):
            return name  # no UNet of sgm has such a layer; it will be found to fit nothing
        new = new.removeprefix("lora_unet_")
        for old, diffusers_name in _SGM_LAYERS.items():
            new = new.replace(old, diffusers_name)
        # Where a level has no attention, its upsampler stands in the place of one.
        return re.sub(r"_attentions_\d+_conv$", "_upsamplers_0_conv", new)


def known_prefix(name: str) -> bool:
    """Whether `name` begins as those of some program do."""
    return name.replace(".", "_").startswith(tuple(_all_prefixes()))


def _all_prefixes() -> dict[str, str]:
    """How names of layers begin -> the component, kohya's of every family first."""
    prefixes: dict[str, str] = {}
    for family in FAMILIES.values():
        prefixes[family.denoiser.lora_prefix] = family.denoiser.component.name
        prefixes |= {encoder.lora_prefix: encoder.name for encoder in family.text_encoders}
    return prefixes | _PREFIXES


def _table(model: nn.Module) -> dict[str, str]:
    """The layers a LoRA may change, those with a weight: their names with underscores -> their paths in `model`."""
    own = {name for name, module in model.named_modules() if isinstance(getattr(module, "weight", None), nn.Parameter)}
    return {name.replace(".", "_"): path for name, path in module_names(own).items()}
