"""Widens weights stored in eight bits to half precision, as ComfyUI reads them: upcast, times their scale if any."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from latentpress.errors import CheckpointError

# Half precision holds every value of these: as many bits of exponent or more, and of mantissa.
_EIGHT_BITS = (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz)
_READ = (*_EIGHT_BITS, torch.float16, torch.bfloat16, torch.float32, torch.float64)
# What stands beside LAYER.weight: its scale, by ComfyUI's first name and by the one since its mixed precision.
_SCALES = (".scale_weight", ".weight_scale")
# What a multiplication in eight bits would need besides, and what only says that there are scales.
_UNUSED = (".scale_input", ".input_scale", ".comfy_quant", "scaled_fp8")


def widened(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` of the file at `path`, those of eight bits in float16 and times their layer's scale; others as they are.

    A scale is one number, or one for each row. Raises CheckpointError for weights of a type that cannot be read.
    """
    scales = {_layer(key): value for key, value in tensors.items() if key.endswith(_SCALES)}
    found: dict[str, Tensor] = {}
    for key, value in tensors.items():
        if key.endswith((*_SCALES, *_UNUSED)):
            continue
        if key.endswith(".weight"):
            if value.dtype not in _READ:
                raise CheckpointError(
                    f"{path}: {key} is quantised to {str(value.dtype).removeprefix('torch.')}, which cannot be read; "
                    "get the version in fp16 or fp8"
                )
            if (scale := scales.get(key.removesuffix(".weight"))) is not None:
                found[key] = _scaled(path, key, value, scale)
                continue
        found[key] = value.to(torch.float16) if value.dtype in _EIGHT_BITS else value
    return found


def _scaled(path: Path, key: str, weight: Tensor, scale: Tensor) -> Tensor:
    rows = weight.shape[0] if weight.ndim else 1
    if scale.numel() not in (1, rows) or scale.dtype not in _READ:
        sides = "x".join(map(str, scale.shape))
        raise CheckpointError(
            f"{path}: the scale of {key} has {sides} numbers, which cannot be read; get the version in fp16 or plain fp8"
        )
    product = weight.float() * scale.float().reshape(-1, *(1,) * max(weight.ndim - 1, 0))
    half = product.to(torch.float16)
    # ComfyUI multiplies in the type it computes with; where half precision would overflow, nothing is lost here.
    return half if bool(torch.isfinite(half).all()) else product


def _layer(key: str) -> str:
    return key.rpartition(".")[0]
