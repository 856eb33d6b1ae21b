"""Reads a LoRA file into layers named as the checkpoint's modules are, whichever trainer named them.

kohya's names (`lora_unet_...`, `lora_te_...`, `lora_te1_...`, `lora_te2_...`: a module's path with underscores, for SDXL's
UNet the path in Stability AI's sgm) and diffusers' (`unet.PATH.lora_A.weight` and its two older forms). Knows nothing of
how a layer is fused.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latentpress.errors import CheckpointError, LoraError
from latentpress.export.families import FAMILIES
from latentpress.export.reading.clip_versions import module_names
from latentpress.export.reading.weights import read_weights

# diffusers' function numbers sgm's blocks as its own, and leaves these names to be changed.
_SGM_LAYERS = {
    "input_blocks": "down_blocks",
    "middle_block": "mid_block",
    "output_blocks": "up_blocks",
    "in_layers_2": "conv1",
    "out_layers_3": "conv2",
    "emb_layers_1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
    "downsamplers_0_op": "downsamplers_0_conv",
}
_SGM_ENDS = {
    "input_blocks_0_0": "conv_in",
    "out_2": "conv_out",
    "time_embed_0": "time_embedding_linear_1",
    "time_embed_2": "time_embedding_linear_2",
    "label_emb_0_0": "add_embedding_linear_1",
    "label_emb_0_2": "add_embedding_linear_2",
}
_ROLES = {
    "lora_down.weight": "down",
    "lora_up.weight": "up",
    "lora_mid.weight": "mid",
    "lora_A.weight": "down",
    "lora_B.weight": "up",
    "alpha": "alpha",
}
# What a key shows -> the method it belongs to, which are all more than down and up matrices.
_OTHER_METHODS = {
    r"\.dora_scale$|\.lora_magnitude_vector": "DoRA",
    r"\.hada_[wt]\d": "LoHa",
    r"\.lokr_": "LoKr",
    r"\.oft_": "OFT",
    r"\.on_input$": "IA3",
    r"\.lora_embedding_": "trained embeddings",
    r"^bundle_emb\.": "bundled textual inversions",
    r"\.lora_B\.bias$": "trained biases",
    r"\.diff(_b)?$": "full differences",
}


@dataclass(frozen=True)
class LoraLayer:
    """One layer's change, scale * up @ down: `name` as the file has it, and where it belongs, if that was found.

    down: (rank, in) or (rank, in, h, w); up: (out, rank) or (out, rank, 1, 1); mid: (rank, rank, h, w) of a convolution
    split in three, else None. scale: alpha / rank, or what the file says instead.
    """

    name: str
    component: str
    path: str | None
    down: Tensor
    up: Tensor
    mid: Tensor | None
    scale: float


@dataclass(frozen=True)
class LoraFile:
    """The layers of a LoRA file and the texts of its header."""

    path: Path
    layers: tuple[LoraLayer, ...]
    metadata: Mapping[str, str]


def read_lora(path: Path, models: Mapping[str, nn.Module]) -> LoraFile:
    """Read the LoRA at `path`, its layers named by the modules of `models` (component -> model); raises LoraError.

    The path is None for a layer whose name no module has.
    """
    path = Path(path)
    try:
        weights = read_weights(path)
    except CheckpointError as error:
        raise LoraError(str(error)) from None
    for pattern, method in _OTHER_METHODS.items():
        if (key := next((key for key in weights.tensors if re.search(pattern, key)), None)) is not None:
            raise LoraError(
                f"{path}: uses {method} ({key}), which cannot be fused; plain LoRA and LoCon layers can: "
                "merge it into the checkpoint with its own tool, or leave it out"
            )
    kohya = {key: value for key, value in weights.tensors.items() if key.startswith(tuple(_kohya_prefixes()))}
    others = {key: value for key, value in weights.tensors.items() if key not in kohya}
    layers = _kohya_layers(path, kohya, models) + _diffusers_layers(path, others, models, weights.metadata)
    if not layers:
        shown = ", ".join(sorted(weights.tensors)[:3]) or "nothing"
        raise LoraError(f"{path}: not a LoRA, it holds {shown}; give a file of kohya's or diffusers' format")
    return LoraFile(path, tuple(layers), weights.metadata)


def _kohya_prefixes() -> dict[str, str]:
    """How kohya's names of layers begin, of every family -> the component."""
    prefixes: dict[str, str] = {}
    for family in FAMILIES.values():
        prefixes[family.denoiser.lora_prefix] = family.denoiser.component.name
        prefixes |= {encoder.lora_prefix: encoder.name for encoder in family.text_encoders}
    return prefixes


def _kohya_layers(path: Path, tensors: Mapping[str, Tensor], models: Mapping[str, nn.Module]) -> list[LoraLayer]:
    layers: list[LoraLayer] = []
    grouped: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, value in tensors.items():
        name, _, role = key.partition(".")
        grouped[name][_role(path, key, role)] = value
    renamed = _from_sgm(grouped, models.get("unet"))
    tables = {
        name: {key.replace(".", "_"): own for key, own in _modules(model).items()} for name, model in models.items()
    }
    prefixes = _kohya_prefixes()
    for name, parts in grouped.items():
        prefix = next(prefix for prefix in prefixes if name.startswith(prefix))
        component = prefixes[prefix]
        found = tables.get(component, {}).get(renamed.get(name, name).removeprefix(prefix))
        layers.append(_layer(path, name, component, found, parts, None))
    return layers


def _from_sgm(names: Mapping[str, Any], unet: Any) -> dict[str, str]:
    """kohya's names of layers in sgm's UNet -> those it has for diffusers'; nothing for the others."""
    from diffusers.loaders.lora_conversion_utils import (
        _maybe_map_sgm_blocks_to_diffusers,  # pyright: ignore[reportPrivateUsage]
    )

    renamed: dict[str, str] = {}
    for name in names:
        inner = name.removeprefix("lora_unet_")
        if inner in _SGM_ENDS:
            renamed[name] = f"lora_unet_{_SGM_ENDS[inner]}"
        elif unet is not None and re.match(r"lora_unet_(input_blocks|middle_block|output_blocks)_", name):
            try:
                # One at a time: of a mixture it would drop these silently.
                (new,) = _maybe_map_sgm_blocks_to_diffusers({name: 0}, unet.config)
            except (ValueError, IndexError, KeyError):
                continue  # a name that no UNet of sgm has; it will be found to fit nothing
            for old, diffusers_name in _SGM_LAYERS.items():
                new = new.replace(old, diffusers_name)
            # Where a level has no attention, its upsampler stands in the place of one.
            renamed[name] = re.sub(r"_attentions_\d+_conv$", "_upsamplers_0_conv", new)
    return renamed


def _diffusers_layers(
    path: Path, tensors: Mapping[str, Tensor], models: Mapping[str, nn.Module], metadata: Mapping[str, str]
) -> list[LoraLayer]:
    from diffusers.utils.state_dict_utils import convert_state_dict_to_peft, convert_unet_state_dict_to_peft

    components = set(_kohya_prefixes().values())
    parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, value in tensors.items():
        component, _, rest = key.partition(".")
        # Before 2023-06 diffusers wrote the UNet's layers alone, without a prefix.
        known = component in components
        parts[component if known else "unet"][rest if known else key] = value
    adapters = _adapter_metadata(path, metadata)
    layers: list[LoraLayer] = []
    for component, state in parts.items():
        if component == "unet":
            state = convert_unet_state_dict_to_peft(state)
        elif any("to_out_lora" in key or "lora_linear_layer" in key for key in state):
            state = convert_state_dict_to_peft(state)
        grouped: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for key, value in state.items():
            module, role = _split(key)
            grouped[module][_role(path, f"{component}.{key}", role)] = value
        modules = _modules(models[component]) if component in models else dict[str, str]()
        for module, layer in grouped.items():
            scale = _adapter_scale(adapters, component, module, layer)
            layers.append(_layer(path, f"{component}.{module}", component, modules.get(module), layer, scale))
    return layers


def _split(key: str) -> tuple[str, str]:
    """(module, role) of a key in PEFT's names; an alpha beside diffusers' older names is under those still."""
    if key.endswith(".alpha"):
        module = key.removesuffix(".alpha").replace(".processor.", ".").removesuffix(".lora")
        return re.sub(r"to_out_lora$", "to_out.0", module).removesuffix("_lora"), "alpha"
    module, _, role = key.partition(".lora_")
    return module, f"lora_{role}".replace(".default.", ".")


def _role(path: Path, key: str, role: str) -> str:
    if role not in _ROLES:
        raise LoraError(f"{path}: {key} is not part of a LoRA; give a file of kohya's or diffusers' format")
    return _ROLES[role]


def _modules(model: nn.Module) -> dict[str, str]:
    """The layers a LoRA may change: their names in files -> their paths in `model`."""
    own = {name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    return module_names(own)


def _adapter_metadata(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """What diffusers writes of PEFT's settings: {"unet.lora_alpha": 8, ...}."""
    try:
        value: Any = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise LoraError(f"{path}: its lora_adapter_metadata is not JSON; save it again with diffusers")
    return value  # pyright: ignore[reportUnknownVariableType]


def _adapter_scale(
    adapters: Mapping[str, Any], component: str, module: str, layer: Mapping[str, Tensor]
) -> float | None:
    """alpha / rank by PEFT's settings, None if the file has none for the component."""
    alpha = adapters.get(f"{component}.lora_alpha")
    patterns: Any = adapters.get(f"{component}.alpha_pattern") or {}
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):  # as PEFT matches them
            alpha = value
            break
    if alpha is None or "down" not in layer:
        return None
    rank = layer["down"].shape[0]
    return float(alpha) / (math.sqrt(rank) if adapters.get(f"{component}.use_rslora") else rank)


def _layer(
    path: Path, name: str, component: str, module: str | None, parts: Mapping[str, Tensor], scale: float | None
) -> LoraLayer:
    if "down" not in parts or "up" not in parts:
        missing = "up" if "down" in parts else "down"
        raise LoraError(f"{path}: {name} has no {missing} matrix; download the file again")
    down, up, mid = parts["down"], parts["up"], parts.get("mid")
    rank = down.shape[0] if down.ndim else 0
    if rank < 1 or up.ndim < 2 or up.shape[1] != rank or (mid is not None and mid.shape[:2] != (rank, rank)):
        raise LoraError(f"{path}: {name}: its matrices have different ranks; download the file again")
    if not all(torch.isfinite(part).all() for part in parts.values()):
        raise LoraError(f"{path}: {name} holds NaN or infinity; train or download it again")
    if "alpha" in parts:
        if parts["alpha"].numel() != 1:
            raise LoraError(f"{path}: {name}: alpha is not a single number; download the file again")
        scale = float(parts["alpha"].item()) / rank
    return LoraLayer(name, component, module, down, up, mid, 1.0 if scale is None else scale)
