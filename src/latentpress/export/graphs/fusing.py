"""Changes of weights that are made when a weight is used, and for good when it is cast: no model is ever float32 as a whole.

A layer's weight stays what the checkpoint has, mapped to its file, while torch's samples are taken; there its changed
float32 form exists during the layer's own call. Knows nothing of where a change comes from.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

# A parameter in float32 -> the same, changed, in float32.
Change = Callable[[Tensor], Tensor]
# layer -> name of its parameter -> the changes of it, in order.
Changes = dict[nn.Module, dict[str, list[Change]]]


def changed(parameter: Tensor, changes: list[Change]) -> Tensor:
    """`parameter` in float32 after `changes`; itself untouched."""
    value = parameter.detach().float()
    for change in changes:
        value = change(value)
    return value


def fuse(module: nn.Module, changes: Changes, dtype: torch.dtype) -> None:
    """Change the parameters of `module` for good, rounded once to `dtype`, and take what was used out of `changes`.

    A weight that has that type already is written over where it lies, if that can reach neither a file nor another
    process: a mapped weight and its copy would count twice.
    """
    private = _private_memory()
    for layer in module.modules():
        for name, wanted in changes.pop(layer, {}).items():
            parameter = layer.get_parameter(name)
            value = changed(parameter, wanted).to(dtype)
            start = parameter.data_ptr()
            end = start + parameter.numel() * parameter.element_size()
            mine = parameter.is_contiguous() and any(low <= start and end <= high for low, high in private)
            if mine and parameter.dtype == dtype:
                parameter.data.copy_(value)
            else:
                parameter.data = value


def _private_memory() -> list[tuple[int, int]]:
    """The address ranges where a write stays in this process: writable and private, as safetensors and torch map files."""
    if sys.platform != "linux":
        return []
    found: list[tuple[int, int]] = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, rights = line.split(maxsplit=2)[:2]
        if rights.startswith("rw") and rights.endswith("p"):
            low, high = (int(address, 16) for address in addresses.split("-"))
            if found and found[-1][1] == low:
                found[-1] = (found[-1][0], high)
            else:
                found.append((low, high))
    return found
