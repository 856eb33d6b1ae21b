"""The helper that fills other weights into a trace gives what tracing the other checkpoint gives, byte for byte."""

import pytest
import torch

import store
from latentpress.export.graphs import flavours
from latentpress.export.graphs.build import build_graphs
from latentpress.export.reading.checkpoint import load_components
from latentpress.testing.random_checkpoint import build_checkpoint
from traces import shared_traces

SMALL = {"width": 16, "hidden": 32, "size": 64}
MANY = [("sd2", {"family": "sd2"}, "fp32", None), ("sdxl", {"family": "sdxl"}, "fp16", None), ("sd1", {}, "fp32", None)]


@pytest.mark.parametrize(
    ("name", "shape", "precision", "only"),
    [("text", {}, "fp32", "text_encoder"), *(pytest.param(*case, marks=pytest.mark.full) for case in MANY)],
)
def test_a_filled_trace_is_a_trace(name, shape, precision, only, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "FOLDER", tmp_path)
    made = []
    monkeypatch.setattr("traces.kept", lambda key, make: made.append(key) or store.kept(key, make))
    for seed in (3, 4):
        graphs = build_graphs(
            load_components(build_checkpoint(tmp_path / str(seed), seed=seed, **SMALL, **shape)), precision
        )
        for graph in graphs:
            if only and graph.name != only:
                continue
            with torch.no_grad():  # no two are alike, as after training
                for parameter in graph.module.parameters():
                    parameter.add_(torch.randn_like(parameter) * 0.01)
            expected = tmp_path / "own"
            expected.mkdir(exist_ok=True)
            plain = flavours.trace_flavour(graph, expected, "plain").read_bytes() if seed == 4 else None
            with shared_traces():
                found = flavours.trace_flavour(graph, tmp_path, "plain").read_bytes()
            assert plain in (None, found), graph.name
    assert len(set(made)) == len(made) / 2, "the second checkpoint's graphs were filled and not traced"
