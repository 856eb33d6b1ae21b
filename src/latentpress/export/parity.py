"""Compares exported graphs with torch on real inputs, through ONNX Runtime's CPU provider and the engine asked for."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from latentpress.errors import EnvironmentFailure
from latentpress.export.components import Components
from latentpress.export.float32_copy import float32_copy
from latentpress.export.graphs import component_inputs
from latentpress.export.trace import Graph
from latentpress.runtime.bundle import Bundle, Parity, Precision, RowTest
from latentpress.runtime.engines.choice import DEFAULT_ENGINE, EngineChoice, runs
from latentpress.runtime.engines.opening import open_session
from latentpress.runtime.engines.proof import (
    BOUNDS,
    compare,
    component_precision,
    parity_line,
    prove,
    require_parity,
    row_test_line,
)
from latentpress.runtime.engines.samples import Sample, read_samples
from latentpress.runtime.engines.shapes import SAMPLE_SIDE, components


def take_samples(graph: Graph, parts: Components) -> list[Sample]:
    """What torch gives in float32: one row of the checkpoint's own size, up to 64 latents a side; three rows and an odd,
    oblong size at no more than 32.
    """
    side = min(parts.latent_size, 32)
    own = min(parts.latent_size, SAMPLE_SIDE)
    cases = [(1, (own, own)), (3, (side, side)), (2, (side // 2 + 1, side))]
    samples: list[Sample] = []
    for batch, size in cases if not graph.name.startswith("text_encoder") else cases[:2]:
        inputs = component_inputs(parts, graph.name, batch=batch, size=size)
        with torch.no_grad():
            given: Any = graph.module(*(torch.from_numpy(array) for array in inputs.values()))
        outputs = given if isinstance(given, tuple) else (given,)
        named = {name: value.numpy() for name, value in zip(graph.outputs, outputs, strict=True)}
        samples.append(Sample(graph.name, inputs, named))
    return samples


def check_parity(path: Path, samples: Sequence[Sample], precision: Precision) -> list[Parity]:
    """One row per output and sample: how far ONNX Runtime's CPU provider is from torch with the graph at `path`.

    It has no bfloat16 kernels: of such a graph a float32 copy is run, which shows the graph and its rounded weights right.
    """
    own = component_precision(path.stem, precision)
    with tempfile.TemporaryDirectory(prefix=".float32-", dir=path.parent) as scratch:
        session = _session(float32_copy(path, Path(scratch)) if own == "bf16" else path)
        rows: list[Parity] = []
        for sample in samples:
            found: Any = session.run(list(sample.outputs), sample.inputs)
            for (name, right), ours in zip(sample.outputs.items(), found, strict=True):
                rows.append(compare(sample.component, name, sample.shapes, right, ours, BOUNDS[own], precision=own))
    return rows


def prove_here(
    bundle: Bundle, choice: EngineChoice, report: Callable[[str], None]
) -> tuple[list[Parity], list[RowTest]]:
    """What the engine `choice` shows on this machine with the graphs of `bundle`: parity, and its rows' independence.

    Engines that are built, or are not installed here, are proved later, by `latentpress engines`. Raises ParityError.
    """
    if choice.name in ("tensorrt", "tensorrt-rtx") or not runs(bundle.info, choice):
        return [], []
    parity: list[Parity] = []
    tests: list[RowTest] = []
    for component in components(bundle.info):
        try:
            session = open_session(bundle, component, choice)
        except EnvironmentFailure as error:
            report(f"not proved on {choice} here: {error}")
            return [], []
        rows, test = prove(session, component, read_samples(bundle, component), bundle.info.precision, choice)
        require_parity(rows, "leave out --engine, or try another --precision")
        if choice != DEFAULT_ENGINE:  # with which each graph was compared as it was made
            parity += rows
        for row in rows if choice != DEFAULT_ENGINE else ():
            report(parity_line(row))
        if test is not None:
            tests.append(test)
            report(row_test_line(test))
    return parity, tests


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise EnvironmentFailure(
            "export: onnxruntime is not installed, and exported graphs are checked with it; "
            "install it with `pip install 'latentpress[cpu]'`"
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
