"""Casts a graph's module to the precision a person asked for, once torch has said whether its numbers fit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from latentpress.bundle.info import Precision
from latentpress.bundle.samples import Sample
from latentpress.errors import ParityError
from latentpress.export.graphs.build import component_inputs
from latentpress.export.graphs.fusing import fuse
from latentpress.export.graphs.trace import Graph
from latentpress.export.graphs.widening import in_float32
from latentpress.export.reading.components import Components

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# Noisiest, middle and last: where a UNet's activations differ most.
TIMESTEPS = (999.0, 500.0, 1.0)


def cast(graph: Graph) -> None:
    """Cast the weights of `graph` in place to the precision of its component, after its changes, rounding once."""
    fuse(graph.module, graph.changes, DTYPES[graph.component.precision])
    graph.module.to(DTYPES[graph.component.precision])


def check_finite(graph: Graph, parts: Components, taken: Sequence[Sample]) -> None:
    """Run `graph`, whose weights were cast, in the precision of its component; raises ParityError at a NaN or Inf.

    Every operator computes in float32 and its result is rounded, as by an engine that accumulates in float32: torch's
    own float16 convolutions run at 0.35 GFLOP/s on a core that does 136 in float32 (torch 2.13, EPYC), and ONNX Runtime's
    CPU provider computes float16 graphs in float32 and would not see the overflow.

    taken: the text encoders' outputs; the UNet is run on real hidden states, at the first, middle and last timestep.
    """
    precision = graph.component.precision
    if precision == "fp32":
        return
    dtype = DTYPES[precision]
    inputs = {name: torch.from_numpy(array) for name, array in _inputs(graph, parts, taken).items()}
    first: list[str] = []

    def watch(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and not first and not bool(torch.isfinite(output).all()):
            first.append(name)

    hooks = [
        module.register_forward_hook(lambda module, given, output, name=name: watch(name, output))
        for name, module in graph.module.named_modules()
        if not any(True for _ in module.children())
    ]
    try:
        with torch.no_grad(), in_float32(graph.module), _Rounded(dtype):
            outputs: Any = graph.module(*inputs.values())
    finally:
        for hook in hooks:
            hook.remove()
    sound = all(
        bool(torch.isfinite(output).all()) for output in (outputs if isinstance(outputs, tuple) else (outputs,))
    )
    if first or not sound:
        place = (first or ["its output"])[0].removeprefix("model.")
        steps = f" at one of the timesteps {', '.join(f'{t:g}' for t in TIMESTEPS)}"
        when = steps if graph.component.role == "denoiser" else ""
        raise ParityError(
            f"{graph.name}: {place} becomes NaN or infinite in {precision}{when}; nothing was published: "
            f"export with --precision {'bf16 or ' if precision == 'fp16' else ''}fp32"
        )


class _Rounded(TorchDispatchMode):
    """Within the block, every operator's float32 results are rounded to `dtype`; beyond its range they become infinite."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        # A view has its owner's numbers, and must stay one.
        return made if func.is_view else tree_map(self._round, made)

    def _round(self, value: Any) -> Any:
        floating = isinstance(value, Tensor) and value.dtype == torch.float32
        return value.to(self._dtype).to(torch.float32) if floating else value


def _inputs(graph: Graph, parts: Components, taken: Sequence[Sample]) -> dict[str, Any]:
    """Three rows for `graph`: for a UNet at TIMESTEPS, attending to what the text encoders gave."""
    side = min(parts.latent_size, 32)
    inputs = component_inputs(parts, graph.name, batch=len(TIMESTEPS), size=(side, side))
    if graph.component.role != "denoiser":
        return inputs
    given = {part.component: _three_rows(part.component, taken) for part in parts.texts}
    states = [outputs["hidden_states"][:, 0] for outputs in given.values()]
    real = inputs | {"timestep": np.asarray(TIMESTEPS, dtype=np.float32)}
    real["encoder_hidden_states"] = np.concatenate(states, axis=-1)
    pooled = [outputs["pooled"] for outputs in given.values() if "pooled" in outputs]
    if "text_embeds" in real and pooled:
        real["text_embeds"] = pooled[0]
    return real


def _three_rows(component: str, taken: Sequence[Sample]) -> dict[str, Any]:
    return next(s.outputs for s in taken if s.component == component and len(s.inputs["input_ids"]) == len(TIMESTEPS))
