"""Traces one torch module to one ONNX file. Knows nothing of checkpoints or bundles."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latentpress.bundle.components import Component
from latentpress.export.graphs.frequencies import exact_frequencies
from latentpress.export.graphs.fusing import Changes

OPSET = 20
# Protobuf holds at most 2 GiB in one message; weights beyond half of that go to a file beside the graph.
EXTERNAL_DATA_BYTES = 1 << 30
# The name under which torch's exporter keeps the Python stack of each node.
_STACK_TRACE = "pkg.torch.onnx.stack_trace"


@dataclass(frozen=True)
class Graph:
    """The module of one component and the inputs to trace it with; both take and give in the component's order.

    changes: of the module's weights, which the cast to the component's precision makes, before it can be traced.
    """

    component: Component
    module: nn.Module
    inputs: dict[str, Tensor]
    changes: Changes = field(default_factory=Changes)

    @property
    def name(self) -> str:
        return self.component.name

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.component.outputs)

    @property
    def free(self) -> dict[str, dict[int, str]]:
        """Which axes of the inputs have no fixed size, and their names in the graph: {input: {axis: name}}.

        A graph's inputs are pixels or latents, never both, so either's sides are its height and width.
        """
        return {
            spec.name: {
                axis: size.removeprefix("pixel_") for axis, size in enumerate(spec.shape) if isinstance(size, str)
            }
            for spec in self.component.inputs
        }


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
    weights = sum(parameter.numel() * parameter.element_size() for parameter in graph.module.parameters())
    path = folder / f"{graph.name}.onnx"
    free = torch.export.Dim.DYNAMIC
    with quiet(), torch.no_grad(), exact_frequencies():
        # torch.onnx.export's own call of torch.export fails on a UNet (torch 2.13: it tries to be oblivious to sizes, and
        # then cannot follow the upsamplers'), and falls back to a tracer that copies every weight and takes twice as long.
        program = torch.export.export(
            graph.module,
            tuple(graph.inputs.values()),
            dynamic_shapes=tuple(dict.fromkeys(graph.free[key], free) for key in graph.inputs),
            strict=False,
        )
        written = torch.onnx.export(
            program,
            (),
            dynamo=True,
            opset_version=opset,
            optimize=False,
            dynamic_shapes=tuple(graph.free[key] for key in graph.inputs),  # the names
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            custom_translation_table=dict(translations) if translations else None,
            verbose=False,
        )
        assert written is not None, "dynamo=True gives a program"
        made = list(written.model.graph.initializers.values())
        written.optimize()
        # Where the module's code lies, folder and line: no part of a graph, whose bytes must not depend on it.
        for node in written.model.graph.all_nodes():
            node.metadata_props.pop(_STACK_TRACE, None)
        written.save(path, external_data=weights > EXTERNAL_DATA_BYTES)
    # Something in the exporter keeps the values (torch 2.13, found with gc), and with them the weights, gigabytes of them.
    for value in (*made, *written.model.graph.initializers.values()):
        value.const_value = None
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
