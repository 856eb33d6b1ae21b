"""Reads a file of weights, safetensors or torch, told apart by content; trusts nothing in it and copies no tensor.

Tensors stay mapped to the file until something changes them: a file of 7 GB takes no 7 GB of memory to open. Those of
eight bits are widened at once, and take twice the file's size.
"""

import pickle
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from latentpress.errors import CheckpointError, reason
from latentpress.export.reading.fp8 import widened
from latentpress.export.reading.whole_file import check_safetensors
from latentpress.files import check_regular

# The first bytes of a pickle of protocol 2 to 5: torch files older than 1.6 begin so.
_PICKLES = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))


@dataclass(frozen=True)
class Weights:
    """The tensors of the file at `path`, mapped where its format allows; what else it says of them.

    tensors: those of eight bits are in float16 (see `fp8`). metadata: the texts of a safetensors header; values: the numbers
    and texts beside a torch file's `state_dict`.
    """

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    values: dict[str, Any]


class _Inert:
    """Stands in for a class or function that a file names beside its weights: takes any arguments, does nothing."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


# The training state in Stable Diffusion 1's first files names these; none of it is used.
_BESIDE_WEIGHTS = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
)


def read_weights(path: Path) -> Weights:
    """Read the weights at `path`; raises CheckpointError naming it if it is cut short, hostile or something else."""
    path = Path(path)
    try:
        check_regular(path)
        with path.open("rb") as stream:
            start = stream.read(8)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if zipfile.is_zipfile(path) or start.startswith(_PICKLES):
        return _torch_weights(path)
    if start.startswith(b"GGUF"):
        raise CheckpointError(f"{path}: a GGUF file, whose quantised weights cannot be read; get it as .safetensors")
    if start.startswith(b"PK"):  # a zip whose directory, at its end, is missing
        raise CheckpointError(f"{path}: a torch file cut short; download it again")
    check_safetensors(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, it is not a dict
            return Weights(path, widened(path, tensors), dict(file.metadata() or {}), {})
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file ({_short(error)}); download it again") from None


def _torch_weights(path: Path) -> Weights:
    inert: list[Any] = [(_Inert, name) for name in _BESIDE_WEIGHTS]
    try:
        with torch.serialization.safe_globals(inert):
            content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"asks for {named[1]}, which is no tensor" if named else "holds something other than tensors"
        raise CheckpointError(
            f"{path}: {what}: it could run code, so nothing in it was loaded; get it as .safetensors from a source you trust"
        ) from None
    except Exception as error:
        # A damaged file can fail anywhere in torch's reader, with any exception.
        raise CheckpointError(
            f"{path}: cannot be read as a torch file ({_short(error)}); download it again, or get it as .safetensors"
        ) from None
    values: dict[str, Any] = {}
    while isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        values |= {key: value for key, value in content.items() if isinstance(value, int | float | str)}
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not named tensors; is this a model file?")
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    values |= {key: value for key, value in content.items() if isinstance(value, int | float | str)}
    return Weights(path, widened(path, tensors), {}, values)


def _short(error: BaseException) -> str:
    return reason(error, 120)
