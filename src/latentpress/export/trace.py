"""Traces one torch module to one ONNX file. Knows nothing of checkpoints or bundles."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

OPSET = 20
# Protobuf holds at most 2 GiB in one message; weights beyond half of that go to a file beside the graph.
EXTERNAL_DATA_BYTES = 1 << 30


@dataclass(frozen=True)
class Graph:
    """A module with the inputs to trace it with, and which of their dimensions stay free: {input: {axis: name}}.

    outputs: their names, in the order the module gives them.
    """

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    free: dict[str, dict[int, str]]


def trace(
    graph: Graph,
    folder: Path,
    opset: int = OPSET,
    translations: Mapping[Callable[..., Any], Callable[..., Any]] | None = None,
) -> Path:
    """Write `graph` to folder/NAME.onnx, with NAME.onnx.data beside it if the weights are large.

    Axes of the same name in `free` have the same size in every call. translations: torch operator -> the function that
    writes its ONNX nodes, for operators that torch does not know how to export.
    """
    axes = {name for dims in graph.free.values() for name in dims.values()}
    # diffusers' upsampler makes a copy from 64 rows on, a matter of memory layout that ONNX does not have: the tracer is
    # told of fewer, the graph takes any number.
    dims = {name: torch.export.Dim(name, min=1, max=63 if name == "batch" else 1 << 16) for name in sorted(axes)}
    shapes = tuple({axis: dims[name] for axis, name in graph.free[key].items()} for key in graph.inputs)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in graph.module.parameters())
    path = folder / f"{graph.name}.onnx"
    with quiet(), torch.no_grad():
        torch.onnx.export(
            graph.module,
            tuple(graph.inputs.values()),
            path,
            dynamo=True,
            opset_version=opset,
            optimize=True,
            dynamic_shapes=shapes,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            custom_translation_table=dict(translations) if translations else None,
            external_data=weights > EXTERNAL_DATA_BYTES,
            verbose=False,
        )
    return path


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Keep the exporter's prints, log lines and deprecation warnings to itself; exceptions pass."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
