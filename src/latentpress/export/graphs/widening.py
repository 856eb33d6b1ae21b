"""Lets a module with half-precision weights, or weights still to be changed, compute in float32, a layer at a time."""

import contextlib
from collections.abc import Generator
from typing import Any

import torch
from torch import nn

from latentpress.export.graphs.fusing import Changes, changed
from latentpress.export.graphs.wrappers import UNet

_HALVES = (torch.float16, torch.bfloat16)


@contextlib.contextmanager
def in_float32(module: nn.Module, changes: Changes | None = None) -> Generator[None]:
    """Within the block, each layer of `module` has its half-precision weights as float32 during its own call, and `changes`
    made to them.

    Float32 inputs give what `module.float()` would give, to the bit, and a model of 5 GB needs 5 GB and a layer, not 10.
    The weights are the same objects afterwards.
    """
    lent: dict[nn.Module, dict[str, nn.Parameter]] = {}
    waiting = changes or {}

    def others(layer: nn.Module) -> dict[str, nn.Parameter]:
        wanted = waiting.get(layer, {})
        return {
            name: weight
            for name, weight in layer.named_parameters(recurse=False)
            if weight.dtype in _HALVES or name in wanted
        }

    def widen(layer: nn.Module, *_: Any) -> None:
        lent[layer] = others(layer)
        for name, weight in lent[layer].items():
            value = changed(weight, waiting.get(layer, {}).get(name, []))
            setattr(layer, name, nn.Parameter(value, requires_grad=False))

    def give_back(layer: nn.Module, *_: Any) -> None:
        for name, weight in lent.pop(layer, {}).items():
            setattr(layer, name, weight)

    hooks = [
        hook
        for layer in module.modules()
        if others(layer)
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
