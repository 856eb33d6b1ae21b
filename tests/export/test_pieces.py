"""A graph run a piece at a time, against the same graph run whole."""

import functools

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from latentpress.export.graphs import trace
from latentpress.export.graphs.build import build_graphs, component_inputs
from latentpress.export.graphs.flavours import trace_flavour
from latentpress.export.graphs.parity import prove_graph, take_samples
from latentpress.export.graphs.pieces import _cuts, run_in_pieces
from latentpress.export.graphs.precision import cast
from latentpress.export.source import Source, load_source
from latentpress.testing.random_checkpoint import build_checkpoint
from traces import shared_traces


@pytest.fixture(scope="module")
def parts_of(tmp_path_factory):
    """parts_of(family): of the small checkpoints that tests of flavours and fused graphs trace as well."""

    @functools.cache
    def parts(family):
        folder = tmp_path_factory.mktemp(family)
        return load_source(Source(build_checkpoint(folder, family=family, width=16, hidden=16, size=64, seed=5))).parts

    return parts


@pytest.fixture
def parts(parts_of):
    return parts_of("sdxl")


def graph_of(parts, component, precision="fp32"):
    (graph,) = (graph for graph in build_graphs(parts, precision) if graph.name == component)
    return graph


def traced(graph, folder, *, beside):
    """Its file; beside: with its weights in another, but for the smallest, of which ONNX Runtime needs some at hand."""
    with shared_traces():
        path = trace_flavour(graph, folder, "mha")
    if beside:
        whole = onnx.load(path)
        onnx.save(whole, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=256)
    return path


SLOW = [("sdxl", "text_encoder_2", True), ("sdxl", "text_encoder_2", False), ("sdxl", "unet", True)]


@pytest.mark.parametrize(
    ("family", "component", "beside"),
    [("sd1", "unet", True), *(pytest.param(*case, marks=pytest.mark.full) for case in SLOW)],
)
def test_pieces_give_what_the_whole_graph_gives(family, component, beside, parts_of, tmp_path):
    parts = parts_of(family)
    graph = graph_of(parts, component)
    cast(graph)
    path = traced(graph, tmp_path, beside=beside)
    assert path.with_name(f"{path.name}.data").exists() == beside
    weights = sum(weight.numel() * 4 for weight in graph.module.parameters())
    limit = weights // 6
    model = onnx.load(path, load_external_data=False)
    assert len(list(_cuts(model.graph, limit))) >= 4
    cases = [(1, (8, 8)), (3, (5, 12))]
    calls = [component_inputs(parts, component, batch=batch, size=size) for batch, size in cases]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for call, found in zip(calls, run_in_pieces(path, calls, limit), strict=True):
        right = session.run(list(found), call)
        assert set(found) == {output.name for output in session.get_outputs()}
        for ours, its in zip(found.values(), right, strict=True):
            assert np.abs(ours - its).max() <= 1e-5 * np.abs(its).max()


@pytest.mark.parametrize("component", ["text_encoder_2", pytest.param("unet", marks=pytest.mark.full)])
def test_half_precision_pieces_are_near_torch_in_float32(component, parts, tmp_path):
    graph = graph_of(parts, component, "fp16")
    graph.module.to(torch.float32)
    inputs = component_inputs(parts, component, batch=2, size=(8, 8))
    with torch.no_grad():
        given = graph.module(*(torch.from_numpy(array) for array in inputs.values()))
        right = dict(zip(graph.outputs, given if isinstance(given, tuple) else (given,), strict=True))
    cast(graph)
    path = traced(graph, tmp_path, beside=True)
    weights = sum(weight.numel() * 2 for weight in graph.module.parameters())
    (found,) = run_in_pieces(path, [inputs], limit=weights // 12)
    assert found.keys() == right.keys()
    for name, ours in found.items():
        its = right[name].numpy()
        assert 1e-5 < np.abs(ours - its).max() / np.abs(its).max() < 2e-2


def test_a_large_graph_is_compared_in_pieces_and_its_rows_tested_whole(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(trace, "EXTERNAL_DATA_BYTES", 0)
    graph = graph_of(parts, "text_encoder")
    cast(graph)
    taken = take_samples(graph, parts)
    path = trace_flavour(graph, tmp_path, "plain")
    rows, test = prove_graph(path, graph.component, taken, with_rows=True)
    assert [row.shapes for row in rows] == [sample.shapes for sample in taken]
    assert all(row.relative <= 1e-5 for row in rows)
    assert test is not None
    assert test.equal
    assert test.batches == [1, 2, 3, 4, 8]
    taken[0].outputs["hidden_states"] += 1
    assert prove_graph(path, graph.component, taken)[0][0].relative > 1e-2
    assert prove_graph(path, graph.component, taken)[1] is None
