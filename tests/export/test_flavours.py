"""Graph flavours: which operators come out for which engine, and that they compute what torch computes."""

from collections import Counter

import onnx
import pytest

from families import graph_of
from latentpress.engines.choice import parse_engine
from latentpress.export.graphs.flavours import component_flavour, fuse_for_cuda, trace_flavour
from latentpress.export.graphs.parity import prove_graph, take_samples
from latentpress.testing.random_checkpoint import build_checkpoint
from traces import shared_traces


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return build_checkpoint(tmp_path_factory.mktemp("small") / "checkpoint", width=16, hidden=16, size=64, seed=5)


def test_the_flavour_of_each_engine():
    def fastest(engine, precision):
        return parse_engine(engine).kind.fastest(precision)

    assert fastest("cpu", "fp32") == "mha"
    assert fastest("cuda", "fp16") == "cuda"
    assert fastest("tensorrt", "fp16") == fastest("openvino", "fp32") == "attention"
    for engine in ("tensorrt", "tensorrt-rtx"):
        assert fastest(engine, "bf16") == "attention"
        assert fastest(engine, "fp32") == "plain", "TensorRT has no float32 kernel for Attention"
    assert component_flavour("denoiser", "attention") == "attention"
    assert component_flavour("decoder", "attention") == "plain", "the autoencoder is float32 in every bundle"
    assert component_flavour("decoder", "mha") == "mha"


@pytest.mark.parametrize(
    ("flavour", "opset", "wanted", "unwanted"),
    [
        ("attention", 23, {"Attention", "GroupNormalization"}, {"Softmax"}),
        ("mha", 20, {"MultiHeadAttention"}, {"Softmax"}),
    ],
)
def test_operators_of_a_flavour(flavour, opset, wanted, unwanted, checkpoint, tmp_path):
    parts, graph = graph_of(checkpoint, "unet")
    taken = take_samples(graph, parts)
    with shared_traces():
        path = trace_flavour(graph, tmp_path, flavour)
    model = onnx.load(path)
    found = Counter(node.op_type for node in model.graph.node)
    assert {entry.version for entry in model.opset_import if entry.domain == ""} == {opset}
    assert wanted <= found.keys()
    assert not unwanted & found.keys()
    domains = {node.domain for node in model.graph.node}
    assert domains == ({""} if flavour == "attention" else {"", "com.microsoft"}), (
        "TensorRT and OpenVINO know only the first"
    )
    assert all(row.relative <= 1e-5 for row in prove_graph(path, graph.component, taken)[0])
    if flavour == "mha":
        before = sum(found.values())
        fuse_for_cuda(path, "denoiser")
        fused = Counter(node.op_type for node in onnx.load(path).graph.node)
        assert fused["MultiHeadAttention"] == found["MultiHeadAttention"]
        assert {"GroupNorm", "SkipGroupNorm", "NhwcConv"} <= fused.keys()
        assert sum(fused.values()) < before
