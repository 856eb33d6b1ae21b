"""Matches LoRA files with loaded models: the changes of weights they ask for, all layers or none.

`lora_file` knows how files name their layers, `lora_methods` what they make of a weight, and `graphs.fusing` when the
changes are made: W += scale * (alpha / rank) * up @ down and its kin, in float32.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from latentpress.bundle.info import Lora
from latentpress.errors import LoraError
from latentpress.export.families.family import Family
from latentpress.export.graphs.fusing import Change, Changes
from latentpress.export.lora_methods import BIASES, METHODS, Parts, fused, shape_of
from latentpress.export.lora_misfit import misfit
from latentpress.export.reading.hub_cache import called
from latentpress.export.reading.lora_file import LoraFile, LoraLayer, not_a_lora, read_lora
from latentpress.export.reading.lora_folder import a1111_hash, lora_sha256

Missing = Literal["error", "ignore"]


@dataclass(frozen=True)
class Fusing:
    """A LoRA that fits: what bundle.json says of it, its changes by layer, a line for each thing that is left out."""

    record: Lora
    changes: Changes
    notes: list[str]


def plan_lora(
    path: Path, scale: float, models: Mapping[str, nn.Module], family: Family, missing: Missing = "error"
) -> Fusing:
    """What the LoRA at `path` changes in `models` (component -> torch model: unet, text_encoder, text_encoder_2).

    missing: what to do about layers that the models do not have. Nothing is changed yet, and every layer was checked.
    Raises LoraError: the file is damaged, of another method, or does not fit the checkpoint.
    """
    path = Path(path)
    lora = read_lora(path, models)
    changes: Changes = {}
    left_out = list(lora.unknown)
    if left_out and missing == "error":
        raise LoraError(f"{path}: {not_a_lora(left_out[0])}{_way_out(lora)}")
    layers = 0
    for layer in lora.layers:
        module = None if layer.path is None else models[layer.component].get_submodule(layer.path)
        wanted = None if module is None else _changes_of(lora, layer, module, scale, models, family)
        if module is None or wanted is None:
            if missing == "error":
                what = f"{layer.name} is not in the checkpoint"
                raise LoraError(f"{path}: {misfit(lora, models, family, what, _way_out(lora))}")
            left_out.append(layer.name)
            continue
        own = changes.setdefault(module, {})
        for name, change in wanted.items():
            own.setdefault(name, []).append(change)
        layers += 1
    if not layers:
        what = f"{left_out[0]} is not in the checkpoint, nor is any other of its layers"
        raise LoraError(f"{path}: {misfit(lora, models, family, what)}")
    notes = list(lora.notes)
    if left_out:
        notes.append(f"lora {called(path)}: {len(left_out)} layers or keys left out, first {left_out[0]}")
    record = Lora(
        source=called(path), sha256=lora_sha256(path), scale=scale, layers=layers, a1111_hash=a1111_hash(path)
    )
    return Fusing(record, changes, notes)


def _way_out(lora: LoraFile) -> str:
    """What the sentence about one unknown layer says of going on, where the rest of the file fits."""
    fits = any(layer.path is not None for layer in lora.layers)
    return " (--lora-missing ignore fuses the rest)" if fits else ""


def _changes_of(
    lora: LoraFile,
    layer: LoraLayer,
    module: nn.Module,
    scale: float,
    models: Mapping[str, nn.Module],
    family: Family,
) -> dict[str, Change] | None:
    """Name of a parameter -> its change, None where `module` lacks what `layer` changes; raises LoraError."""
    found: dict[str, Change] = {}
    if layer.method is not None:
        _check_shape(lora, layer, module.get_parameter("weight"), models, family)
        weights = {role: part for role, part in layer.parts.items() if role not in BIASES}
        found["weight"] = partial(_fuse, method=layer.method, parts=weights, strength=scale, ratio=layer.scale)
    for role in BIASES:
        if role not in layer.parts:
            continue
        bias, part = getattr(module, "bias", None), layer.parts[role]
        if not isinstance(bias, nn.Parameter):
            return None
        if bias.shape != part.shape:
            sides = [_sides(each) for each in (part.shape, bias.shape)]
            what = f"{layer.name} changes {sides[0]} biases, the checkpoint has {sides[1]} there"
            raise LoraError(f"{lora.path}: {misfit(lora, models, family, what)}")
        found["bias"] = partial(_add, part=part, scale=scale * (layer.scale if role == "up_bias" else 1.0))
    return found


def _check_shape(
    lora: LoraFile, layer: LoraLayer, weight: Tensor, models: Mapping[str, nn.Module], family: Family
) -> None:
    assert layer.method is not None
    wanted = tuple(weight.shape if weight.ndim < 2 else (weight.shape[0], weight[0].numel()))
    try:
        shape = shape_of(METHODS[layer.method], layer.parts, weight)
    except (RuntimeError, ValueError, IndexError):
        # Methods that multiply the weight itself fit no weight of another size; the others do not fit themselves.
        multiplies = layer.method in ("glora", "ia3", "oft")
        which = "do not fit the checkpoint's weight" if multiplies else "have different ranks"
        raise LoraError(f"{lora.path}: {layer.name}: its matrices {which}; download the file again") from None
    if shape != wanted:
        what = f"{layer.name} changes {_sides(shape)} weights, the checkpoint has {_sides(wanted)} there"
        raise LoraError(f"{lora.path}: {misfit(lora, models, family, what)}")


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _fuse(weight: Tensor, *, method: str, parts: Parts, strength: float, ratio: float) -> Tensor:
    wide = {role: part.float() for role, part in parts.items()}
    return fused(METHODS[method], wide, weight, strength, ratio)


def _add(bias: Tensor, *, part: Tensor, scale: float) -> Tensor:
    return bias + scale * part.float()
