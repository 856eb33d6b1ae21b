"""The graphs made for the CUDA provider compute what torch computes, and are counted right: without a GPU."""

import numpy as np
import onnx
import onnxruntime
import pytest

from families import graph_of
from latentpress.bench.flops import graph_flops
from latentpress.export.graphs.flavours import fuse_for_cuda, trace_flavour
from latentpress.export.graphs.parity import take_samples
from latentpress.export.graphs.precision import cast
from latentpress.testing.random_checkpoint import build_checkpoint
from traces import shared_traces
from unfused import unfused

# Each takes 15 to 50 s to trace.
SLOW = [("sd1", "unet"), ("sdxl", "unet"), ("sd1", "vae_decoder")]


@pytest.mark.parametrize(
    ("family", "component", "precision"),
    [
        ("sd1", "unet", "fp32"),  # whose trace test_flavours has as well
        ("sdxl", "text_encoder_2", "fp16"),
        *(pytest.param(*case, "fp16", marks=pytest.mark.full) for case in SLOW),
    ],
)
def test_a_fused_graph_is_torchs_model(family, component, precision, tmp_path):
    checkpoint = build_checkpoint(tmp_path / "checkpoint", family=family, width=16, hidden=16, size=64, seed=5)
    parts, graph = graph_of(checkpoint, component, precision)
    samples = take_samples(graph, parts)
    cast(graph)
    with shared_traces():
        path = trace_flavour(graph, tmp_path, "cuda")
    shapes = {name: array.shape for name, array in samples[1].inputs.items()}
    before = graph_flops(path, shapes)
    fuse_for_cuda(path, graph.component.role)
    fused = onnx.load(path)
    if component != "text_encoder_2":
        assert {"NhwcConv", "GroupNorm"} <= {node.op_type for node in fused.graph.node}
        # The casts and layouts are free; the exporter's own graph is counted against torch in tests/bench.
        assert graph_flops(path, shapes) == before
    onnx.save(unfused(fused, graph.component.precision), tmp_path / "spelled-out.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "spelled-out.onnx"), providers=["CPUExecutionProvider"])
    for sample in samples:
        found = session.run(list(sample.outputs), sample.inputs)
        for right, ours in zip(sample.outputs.values(), found, strict=True):
            # Half precision rounds; a weight in the wrong place is wrong by more than a tenth.
            bound = 2e-5 if graph.component.precision == "fp32" else 1e-2
            assert np.abs(ours - right).max() <= bound * np.abs(right).max()
