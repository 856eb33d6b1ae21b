"""Reads a LoRA file into layers, whichever program wrote it and by whichever method it was trained.

`lora_names` finds the modules, `lora_methods` knows what the parts of a layer are for; `lora_folder` reads folders and
PEFT's settings. Knows nothing of how a layer is fused.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latentpress.errors import LoraError
from latentpress.export.lora_methods import BIASES, METHODS, method_of, ratio_of
from latentpress.export.reading.file_kinds import LORA, known_kind
from latentpress.export.reading.lora_folder import (
    NUMBERED,
    LoraSource,
    adapter_scale,
    read_source,
)
from latentpress.export.reading.lora_names import LayerNames

# The end of a key -> the role of its tensor in the layer.
_ROLES = {
    r"lora_(?P<role>down|up|mid)\.weight": None,
    # The name of PEFT's adapter may stand in between.
    r"lora_A(\.[^.]+)?\.weight": "down",
    r"lora_B(\.[^.]+)?\.weight": "up",
    r"lora_B(\.[^.]+)?\.bias": "up_bias",
    r"lora_magnitude_vector(\.[^.]+)?": "magnitude",
    r"lora(_linear_layer)?\.(?P<role>down|up)\.weight": None,
    r"(lora(_linear_layer)?\.)?alpha": "alpha",
    r"(?P<role>[ab][12])\.weight": None,
    r"(?P<role>dora_scale|hada_(w[12]_[ab]|t[12])|lokr_(w[12](_[ab])?|t2)|diff(_b)?|[wb]_norm)": None,
    r"(?P<role>oft_blocks|rescale|on_input|weight)": None,
    r"oft_diag": "oft_blocks",
}
_KEY = re.compile(
    r"(?P<module>.+?)(\.|_(?=lora\.))("
    + "|".join(f"(?P<r{number}>{pattern.replace('?P<role>', '')})" for number, pattern in enumerate(_ROLES))
    + ")"
)
# What a key shows -> a method whose files cannot be fused.
_OTHER_METHODS = {
    r"\.lora_embedding_": "trained embeddings",
    r"\.(q_layer|p_layer|lambda_layer)\b": "T-LoRA",
    r"\.(vera_lambda|ia3_l|oft_[rs]\b|hra_u|fourierft_)": "a method of PEFT's other than LoRA",
}
_NUMBERED = re.compile(r"(unet|text_encoder):\d+:(up|down)")


@dataclass(frozen=True)
class LoraLayer:
    """One layer's change: `name` as the file has it, and where it belongs, if that was found.

    method: a key of METHODS, None where only the bias changes; parts: role -> tensor, in the file's type; scale: alpha /
    rank, or what the file says instead.
    """

    name: str
    component: str
    path: str | None
    method: str | None
    parts: Mapping[str, Tensor]
    scale: float


@dataclass(frozen=True)
class LoraFile:
    """The layers of a LoRA and the texts of its header; unknown: keys of no layer; notes: a line for each thing left out."""

    path: Path
    layers: tuple[LoraLayer, ...]
    metadata: Mapping[str, str]
    unknown: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list[str])


def read_lora(path: Path, models: Mapping[str, nn.Module]) -> LoraFile:
    """Read the LoRA at `path`, a file or a folder, its layers named by the modules of `models` (component -> model).

    The path is None for a layer whose name no module has. Raises LoraError.
    """
    source = read_source(Path(path))
    keys = {key: value for key, value in source.tensors.items() if not key.startswith("bundle_emb.")}
    _check_kind(source, keys)
    grouped: dict[str, dict[str, Tensor]] = defaultdict(dict)
    unknown: list[str] = []
    for key, value in keys.items():
        module, role = _split(key)
        if role is None:
            unknown.append(key)
        else:
            grouped[module][role] = value
    for name in [name for name, parts in grouped.items() if "weight" in parts and "on_input" not in parts]:
        unknown.append(f"{name}.weight")
        del grouped[name]["weight"]
    names = LayerNames(models)
    layers = [_layer(source, name, names, parts) for name, parts in grouped.items() if parts]
    if not layers and not unknown:
        raise LoraError(f"{path}: not a LoRA, it holds nothing; give a file of kohya's or diffusers' format")
    return LoraFile(source.path, tuple(layers), source.metadata, tuple(unknown), _notes(source))


def not_a_lora(key: str) -> str:
    """What an error says of a key that belongs to no layer."""
    return f"{key} is not part of a LoRA; give a file of kohya's or diffusers' format"


def _split(key: str) -> tuple[str, str | None]:
    """(name of the layer, role) of a key; the role None for one that no trainer writes."""
    found = _KEY.fullmatch(key)
    if found is None:
        return key, None
    number = next(number for number in range(len(_ROLES)) if found[f"r{number}"] is not None)
    pattern, role = list(_ROLES.items())[number]
    if role is None:
        inner = re.fullmatch(pattern, found[f"r{number}"])
        assert inner is not None
        role = inner["role"]
    return found["module"], role


def _check_kind(source: LoraSource, keys: Mapping[str, Any]) -> None:
    if any(_NUMBERED.fullmatch(key) for key in keys):
        raise LoraError(f"{source.path}: is {NUMBERED}")
    kind = known_kind(keys)
    if kind is LORA:  # with something of another kind among its layers?
        beside = [
            key for key in keys if _split(key)[1] is None and ("." not in key or key.endswith((".weight", ".bias")))
        ]
        kind = known_kind(beside)
    if kind is not None and kind is not LORA:
        raise LoraError(f"{source.path}: is {kind.not_a('a LoRA')}")
    for pattern, method in _OTHER_METHODS.items():
        if (key := next((key for key in keys if re.search(pattern, key)), None)) is not None:
            raise LoraError(
                f"{source.path}: uses {method} ({key}), which cannot be fused; "
                "merge it into the checkpoint with its own tool, or leave it out"
            )


def _notes(source: LoraSource) -> list[str]:
    """OneTrainer saves the textual inversions that a LoRA was trained with in the same file."""
    words = sorted({key.split(".")[1] for key in source.tensors if key.startswith("bundle_emb.")})
    if not words:
        return []
    return [
        f"lora {source.path.name}: the textual inversions in it were left out ({', '.join(words)}); "
        f"--concept {source.path.name} bakes them in"
    ]


def _layer(source: LoraSource, name: str, names: LayerNames, parts: Mapping[str, Tensor]) -> LoraLayer:
    method = method_of(parts)
    if method is None and not any(role in parts for role in BIASES):
        raise LoraError(f"{source.path}: {name} has only {', '.join(parts)}; download the file again")
    component, path = names.find(name)
    scale = 1.0
    if method is not None:
        kind = METHODS[method]
        if (missing := kind.lacks(parts)) is not None:
            raise LoraError(f"{source.path}: {name} has no {missing} matrix; download the file again")
        _check_numbers(source.path, name, parts)
        try:
            scale = ratio_of(kind, parts)
        except ValueError as error:
            raise LoraError(f"{source.path}: {name}: {error}; download the file again") from None
        if "alpha" not in parts and (own := adapter_scale(source, component, name, parts)) is not None:
            scale = own
    return LoraLayer(name, component, path, method, parts, scale)


def _check_numbers(path: Path, name: str, parts: Mapping[str, Tensor]) -> None:
    # Not every type has isfinite: float8 is made float32 first, a matrix at a time.
    if not all(bool(torch.isfinite(part.float()).all()) for part in parts.values()):
        raise LoraError(f"{path}: {name} holds NaN or infinity; train or download it again")
