"""Compares exported graphs with torch on real inputs, through ONNX Runtime's CPU provider."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latentpress.errors import EnvironmentFailure, ParityError
from latentpress.export.components import Components
from latentpress.export.graphs import example_inputs
from latentpress.export.trace import Graph
from latentpress.runtime.bundle import Parity

# Of the largest value of torch's output. Measured float32 graphs differ by 1e-7 to 1e-5; a wrong graph by more than 1e-2.
BOUND = 1e-3


def check_parity(graph: Graph, path: Path, parts: Components) -> list[Parity]:
    """One row per output and shape: batches 1 and 3 at a side of at most 32 latents, and an odd, oblong size at batch 2."""
    side = min(parts.latent_size, 32)
    cases = [(1, (side, side)), (3, (side, side)), (2, (side // 2 + 1, side))]
    session = _session(path)
    rows: list[Parity] = []
    for batch, size in cases if not graph.name.startswith("text_encoder") else cases[:2]:
        inputs = example_inputs(parts, graph.name, batch=batch, size=size)
        with torch.no_grad():
            given: Any = graph.module(*inputs.values())
        expected = given if isinstance(given, tuple) else (given,)
        found: Any = session.run(list(graph.outputs), {key: value.numpy() for key, value in inputs.items()})
        shapes = ", ".join(f"{key} {'x'.join(map(str, value.shape))}" for key, value in inputs.items())
        for name, right, ours in zip(graph.outputs, expected, found, strict=True):
            rows.append(compare(graph.name, name, shapes, right.numpy(), ours))
    return rows


def compare(component: str, output: str, shapes: str, expected: Any, found: Any) -> Parity:
    """Measure `found` against `expected`: largest difference, that over the largest expected value, PSNR in dB."""
    if expected.shape != found.shape:
        raise ParityError(
            f"{component} ({output}) at {shapes}: the graph gives shape {found.shape}, torch {expected.shape}; "
            "nothing was published: this checkpoint's architecture does not export right"
        )
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    peak = float(np.abs(expected).max()) or 1.0
    worst = float(difference.max())
    error = float((difference**2).mean())
    # JSON has no infinity; 200 dB is below float32's own rounding.
    psnr = min(200.0, 10 * np.log10(peak**2 / error)) if error > 0 else 200.0
    return Parity(
        component=component,
        output=output,
        shapes=shapes,
        max_abs=worst,
        relative=worst / peak,
        psnr=float(psnr),
        bound=BOUND,
    )


def require_parity(rows: Sequence[Parity]) -> None:
    """Raise ParityError naming the first row beyond its bound; a NaN is beyond it."""
    for row in rows:
        if not row.relative <= row.bound:
            raise ParityError(
                f"{row.component} ({row.output}) at {row.shapes}: the graph differs from torch by {row.relative:.3g} "
                f"of the largest value, the bound is {row.bound:g}; nothing was published: "
                "try the versions in constraints.txt"
            )


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
