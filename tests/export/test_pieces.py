"""A graph run a piece at a time, against the same graph run whole."""

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


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return load_source(Source(build_checkpoint(tmp_path_factory.mktemp("sdxl"), family="sdxl", size=64))).parts


@pytest.mark.parametrize("component", ["text_encoder_2", "unet"])
@pytest.mark.parametrize(
    "beside", [pytest.param(True, id="beside"), pytest.param(False, id="inside", marks=pytest.mark.full)]
)
def test_pieces_give_what_the_whole_graph_gives(parts, component, beside, tmp_path, monkeypatch):
    monkeypatch.setattr(trace, "EXTERNAL_DATA_BYTES", 0 if beside else 1 << 40)
    (graph,) = (graph for graph in build_graphs(parts) if graph.name == component)
    cast(graph)
    path = trace_flavour(graph, tmp_path, "mha")
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


def test_half_precision_pieces_are_near_torch_in_float32(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(trace, "EXTERNAL_DATA_BYTES", 0)
    (graph,) = (graph for graph in build_graphs(parts, "fp16") if graph.name == "unet")
    graph.module.to(torch.float32)
    inputs = component_inputs(parts, "unet", batch=2, size=(8, 8))
    with torch.no_grad():
        right = graph.module(*(torch.from_numpy(array) for array in inputs.values())).numpy()
    cast(graph)
    path = trace_flavour(graph, tmp_path, "mha")
    weights = sum(weight.numel() * 2 for weight in graph.module.parameters())
    (found,) = run_in_pieces(path, [inputs], limit=weights // 12)
    assert 1e-5 < np.abs(found["noise_pred"] - right).max() / np.abs(right).max() < 2e-2


def test_a_large_graph_is_compared_in_pieces_and_its_rows_tested_whole(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(trace, "EXTERNAL_DATA_BYTES", 0)
    (graph,) = (graph for graph in build_graphs(parts) if graph.name == "text_encoder")
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
