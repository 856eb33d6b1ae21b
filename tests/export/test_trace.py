"""What tracing leaves behind."""

import gc

import torch

from latentpress.export.graphs.build import build_graphs
from latentpress.export.graphs.flavours import trace_flavour
from latentpress.export.graphs.precision import cast
from latentpress.export.source import Source, load_source
from latentpress.testing.random_checkpoint import build_checkpoint


def test_the_exporter_keeps_no_weight_and_the_graph_no_path(tmp_path):
    parts = load_source(Source(build_checkpoint(tmp_path / "checkpoint", size=64))).parts
    (graph,) = (graph for graph in build_graphs(parts) if graph.name == "text_encoder")
    cast(graph)
    storages = {weight.untyped_storage().data_ptr() for weight in graph.module.parameters()}
    trace_flavour(graph, tmp_path, "mha")
    # torch's exporter writes the stack of each node: a bundle's hash would depend on where its exporter is installed.
    assert b".py" not in (tmp_path / "text_encoder.onnx").read_bytes()
    graph.module.to("meta")
    gc.collect()
    left = [
        tensor
        for tensor in gc.get_objects()
        if type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.device.type == "cpu"
        and tensor.untyped_storage().data_ptr() in storages
    ]
    assert storages
    assert left == []
