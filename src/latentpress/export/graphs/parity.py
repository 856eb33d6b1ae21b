"""Compares exported graphs with torch on real inputs, through ONNX Runtime's CPU provider and the engine asked for."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from latentpress.bundle.components import Component
from latentpress.bundle.info import Bundle, Parity, RowTest
from latentpress.bundle.samples import Sample, read_samples
from latentpress.engines.choice import DEFAULT_ENGINE, runs
from latentpress.engines.cpu import OnnxCpuSession
from latentpress.engines.engine import BOUNDS, EngineChoice
from latentpress.engines.opening import open_session
from latentpress.engines.proof import (
    ROW_BATCHES,
    compare,
    parity_line,
    prove,
    require_parity,
    row_sample,
    row_test,
    row_test_line,
)
from latentpress.engines.shapes import SAMPLE_SIDE
from latentpress.errors import EnvironmentFailure
from latentpress.export.graphs.build import component_inputs
from latentpress.export.graphs.pieces import run_in_pieces
from latentpress.export.graphs.trace import Graph
from latentpress.export.graphs.widening import in_float32
from latentpress.export.reading.components import Components


def take_samples(graph: Graph, parts: Components) -> list[Sample]:
    """What torch gives in float32: one row of the checkpoint's own size, up to 64 latents a side; three rows at no more
    than 32; two of an odd, oblong size at half of that, on which rows are tested too.
    """
    side = min(parts.latent_size, 32)
    own = min(parts.latent_size, SAMPLE_SIDE)
    cases = [(1, (own, own)), (3, (side, side)), (2, (side // 4 + 1, side // 2))]
    samples: list[Sample] = []
    for batch, size in cases[:2] if graph.component.role == "text" else cases:
        inputs = component_inputs(parts, graph.name, batch=batch, size=size)
        with torch.no_grad(), in_float32(graph.module, graph.changes):
            given: Any = graph.module(*(torch.from_numpy(array) for array in inputs.values()))
        outputs = given if isinstance(given, tuple) else (given,)
        named = {name: value.numpy() for name, value in zip(graph.outputs, outputs, strict=True)}
        samples.append(Sample(graph.name, inputs, named))
    return samples


def prove_graph(
    path: Path, component: Component, samples: Sequence[Sample], *, with_rows: bool = False
) -> tuple[list[Parity], RowTest | None]:
    """How far ONNX Runtime's CPU provider is from torch with `component`'s graph at `path`: a row per output and sample.

    A large graph is run in pieces. A bfloat16 graph, which the provider has no kernels for, is run in float32; that shows
    that the graph and its rounded weights are right. with_rows: make the row test too, in a session of the whole graph, as
    a render opens it; not for a large graph in half precision, because that session would hold all of it in float32.
    """
    own = component.precision
    large = path.with_name(f"{path.name}.data").exists()  # only large weights lie beside their graph
    if not large and own != "bf16":
        return prove(OnnxCpuSession(path), component, samples, own, DEFAULT_ENGINE, with_rows=with_rows)
    outputs = run_in_pieces(path, [sample.inputs for sample in samples])
    parity = [
        compare(component.name, name, sample.shapes, right, found[name], BOUNDS[own], precision=own)
        for sample, found in zip(samples, outputs, strict=True)
        for name, right in sample.outputs.items()
    ]
    if not with_rows or own != "fp32":
        return parity, None
    session = OnnxCpuSession(path, arena=False)
    return parity, row_test(session, row_sample(samples, DEFAULT_ENGINE), DEFAULT_ENGINE, ROW_BATCHES)


def prove_here(
    bundle: Bundle, choice: EngineChoice, report: Callable[[str], None]
) -> tuple[list[Parity], list[RowTest]]:
    """The parity and the row tests of the engine `choice` on this machine, with the graphs of `bundle`.

    Empty for the default engine, with which each graph was compared when it was made. Engines that have to be built, or
    are not installed here, are compared later, by `latentpress engines`. Raises ParityError.
    """
    if choice == DEFAULT_ENGINE or choice.kind.built or not runs(bundle.info, choice):
        return [], []
    parity: list[Parity] = []
    tests: list[RowTest] = []
    for component in bundle.info.components:
        try:
            session = open_session(bundle, component.name, choice)
        except EnvironmentFailure as error:
            report(f"not proved on {choice} here: {error}")
            return [], []
        rows, test = prove(session, component, read_samples(bundle, component.name), bundle.info.precision, choice)
        require_parity(rows, "leave out --engine, or try another --precision")
        parity += rows
        for row in rows:
            report(parity_line(row))
        if test is not None:
            tests.append(test)
            report(row_test_line(test))
    return parity, tests
