"""Lets a module with half-precision weights compute in float32 without ever holding all of them in float32."""

import contextlib
from collections.abc import Generator
from typing import Any

import torch
from torch import nn

from latentpress.export.graphs.wrappers import UNet

_HALVES = (torch.float16, torch.bfloat16)


@contextlib.contextmanager
def in_float32(module: nn.Module) -> Generator[None]:
    """Within the block, each layer of `module` has its half-precision weights as float32 during its own call.

    Float32 inputs give what `module.float()` would give, to the bit, and a model of 5 GB needs 5 GB and a layer, not 10.
    The weights are the same objects afterwards.
    """
    lent: dict[nn.Module, dict[str, nn.Parameter]] = {}

    def widen(layer: nn.Module, *_: Any) -> None:
        own = {name: weight for name, weight in layer.named_parameters(recurse=False) if weight.dtype in _HALVES}
        lent[layer] = own
        for name, weight in own.items():
            setattr(layer, name, nn.Parameter(weight.float(), requires_grad=False))

    def give_back(layer: nn.Module, *_: Any) -> None:
        for name, weight in lent.pop(layer, {}).items():
            setattr(layer, name, weight)

    hooks = [
        hook
        for layer in module.modules()
        if any(weight.dtype in _HALVES for weight in layer.parameters(recurse=False))
        for hook in (layer.register_forward_pre_hook(widen), layer.register_forward_hook(give_back))
    ]
    if isinstance(module, UNet):
        module.computes_in = torch.float32
    try:
        yield
    finally:
        if isinstance(module, UNet):
            module.computes_in = None
        for hook in hooks:
            hook.remove()
        for layer in list(lent):  # of a call that raised
            give_back(layer)
