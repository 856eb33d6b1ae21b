"""What a LoRA is read from: a file, a folder of diffusers' or PEFT's; with it the settings that PEFT keeps beside it.

Gives tensors by key, whatever they lie in. Knows nothing of layers and methods.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from latentpress.bundle.info import file_sha256
from latentpress.errors import CheckpointError, LoraError
from latentpress.export.reading.checkpoint import digest_of
from latentpress.export.reading.file_kinds import CONCEPT
from latentpress.export.reading.weights import read_weights

_DIFFUSERS = ("pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin")
_ADAPTER = ("adapter_model.safetensors", "adapter_model.bin")
_SETTINGS = "adapter_config.json"
_PARTS = ("unet", "text_encoder", "text_encoder_2")
# What a file may be instead, as an error goes on after "is".
TEXTUAL_INVERSION = CONCEPT.not_a("a LoRA")
NUMBERED = (
    "a LoRA of cloneofsimo's trainer, whose layers have numbers and no names; merge it with that trainer's lora_add"
)
# No textual inversion is larger than this.
_SMALL = 16 << 20


@dataclass(frozen=True)
class LoraSource:
    """The tensors of the LoRA at `path` by key, the texts of its header, PEFT's settings ({"unet.lora_alpha": 8, ...})."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    settings: Mapping[str, Any]


def lora_files(path: Path) -> list[Path]:
    """The files that the LoRA at `path` lies in: itself, or those of the folder, weights and settings; raises LoraError."""
    if not path.is_dir():
        return [path]
    for name in _DIFFUSERS:
        if (path / name).is_file():
            return [path / name]
    found: list[Path] = []
    for folder in (path, *(path / part for part in _PARTS)):
        weights = next((folder / name for name in _ADAPTER if (folder / name).is_file()), None)
        if weights is not None:
            found += [weights, *(each for each in (folder / _SETTINGS,) if each.is_file())]
    if found:
        return found
    single = sorted(path.glob("*.safetensors"))
    if len(single) == 1:
        return single
    held = f"it has {', '.join(each.name for each in single[:3])}" if single else f"it has no {_DIFFUSERS[0]}"
    raise LoraError(f"{path}: which LoRA of this folder is meant cannot be told, {held}; give the file itself")


def lora_sha256(path: Path) -> str:
    """sha256 of a LoRA's file; of a folder's only file, or over the names and contents of several."""
    files = lora_files(path)
    return file_sha256(files[0]) if len(files) == 1 else digest_of(path, files)


def a1111_hash(path: Path) -> str:
    """What A1111 calls the LoRA's hash, whole; "" for a folder with several files of weights.

    The trainer's own `sshs_model_hash` where the header has one, else the sha256 of the tensors without the header, of
    what is no .safetensors of the whole file. `path` was read as a LoRA.
    """
    weights = [file for file in lora_files(path) if file.name != _SETTINGS]
    if len(weights) != 1:
        return ""
    [file] = weights
    if file.suffix != ".safetensors":
        return file_sha256(file)
    with file.open("rb") as stream:
        header: Any = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        own = header.get("__metadata__", {}).get("sshs_model_hash")
        return own or hashlib.file_digest(stream, "sha256").hexdigest()


def read_source(path: Path) -> LoraSource:
    """Read the LoRA at `path`; raises LoraError."""
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    settings: dict[str, Any] = {}
    for file in lora_files(path):
        part = f"{file.parent.name}." if file.parent != path and file.parent.name in _PARTS and path.is_dir() else ""
        if file.name == _SETTINGS:
            settings |= _prefixed(part, _json(file, file.read_text(encoding="utf-8", errors="replace")))
            continue
        try:
            weights = read_weights(file)
        except CheckpointError as error:
            kind = _another_kind(file, str(error))
            raise LoraError(str(error) if kind is None else f"{file}: is {kind}") from None
        tensors |= {part + key: value for key, value in weights.tensors.items()}
        metadata |= weights.metadata
        if file.name in _ADAPTER and not path.is_dir() and (file.parent / _SETTINGS).is_file():
            beside = file.parent / _SETTINGS
            settings |= _json(beside, beside.read_text(encoding="utf-8", errors="replace"))
    if "lora_adapter_metadata" in metadata:
        try:
            settings |= _json(path, metadata["lora_adapter_metadata"])
        except LoraError:
            raise LoraError(f"{path}: its lora_adapter_metadata is not JSON; save it again with diffusers") from None
    return LoraSource(path, tensors, metadata, settings)


def adapter_scale(source: LoraSource, component: str, name: str, parts: Mapping[str, Tensor]) -> float | None:
    """alpha / rank by PEFT's settings of the layer `name`, None if there are none for the component."""
    settings = source.settings
    start = f"{component}." if f"{component}.lora_alpha" in settings else ""
    alpha = settings.get(f"{start}lora_alpha")
    module = name.removeprefix(f"{component}.").removeprefix("base_model.model.")
    patterns: Any = settings.get(f"{start}alpha_pattern") or {}
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):  # as PEFT matches them
            alpha = value
            break
    if alpha is None or "down" not in parts:
        return None
    rank = parts["down"].shape[0]
    return float(alpha) / (math.sqrt(rank) if settings.get(f"{start}use_rslora") else rank)


def _another_kind(path: Path, said: str) -> str | None:
    """What a torch file that holds no named tensors is; said: the error of reading it."""
    if "holds a list" in said:
        return NUMBERED
    # A1111's: a pickle of dictionaries, whose names stand in it as they are.
    if path.is_file() and path.stat().st_size < _SMALL and b"string_to_param" in path.read_bytes():
        return TEXTUAL_INVERSION
    return None


def _prefixed(prefix: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + key: value for key, value in settings.items()}


def _json(path: Path, text: str) -> dict[str, Any]:
    try:
        value: Any = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise LoraError(f"{path}: is not JSON; download it again")
    return value  # pyright: ignore[reportUnknownVariableType]
