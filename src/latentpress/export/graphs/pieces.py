"""Runs a large graph on ONNX Runtime's CPU provider a piece at a time, for a comparison that fits in memory.

That provider computes in float32: it widens every float16 weight to float32 on load, 10 GB for SDXL's UNet, and has no
bfloat16 at all. Here the graph is cut after every half gigabyte of weights, and each piece is run as a graph of its own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from latentpress.bundle.inputs import Array
from latentpress.engines.cpu import OnnxCpuSession
from latentpress.export.graphs.memory import release_memory
from latentpress.export.graphs.wide_model import widen_model

PIECE_BYTES = 1 << 29


def run_in_pieces(path: Path, calls: Sequence[Mapping[str, Array]], limit: int = PIECE_BYTES) -> list[dict[str, Array]]:
    """The outputs of the graph at `path` for the inputs of each of `calls`, by name; bfloat16 is computed in float32.

    limit: bytes of weights, as stored, above which a piece ends.
    """
    model = onnx.load(path, load_external_data=False)
    graph = model.graph
    results = [output.name for output in graph.output]
    values: list[dict[str, Any]] = [dict(inputs) for inputs in calls]
    last_use = {name: number for number, node in enumerate(graph.node) for name in _consumed(node)}
    for start, end in _cuts(graph, limit):
        piece = _piece(model, start, end, path.parent)
        session = OnnxCpuSession(widen_model(piece).SerializeToString(), arena=False)
        given = [value.name for value in piece.graph.input]
        del piece
        for live in values:
            live |= session.run({name: live[name] for name in given})
            for name in [name for name in live if name not in results and last_use.get(name, -1) < end]:
                del live[name]
        del session
        release_memory()
    return [{name: live[name] for name in results} for live in values]


def _cuts(graph: Any, limit: int) -> Iterator[tuple[int, int]]:
    """Ranges of node numbers, in order, each with little more than `limit` bytes of weights."""
    sizes = {tensor.name: _size(tensor) for tensor in graph.initializer}
    start = total = 0
    for number, node in enumerate(graph.node):
        total += sum(sizes.get(name, 0) for name in _consumed(node))
        if total > limit:
            yield start, number + 1
            start, total = number + 1, 0
    if start < len(graph.node):
        yield start, len(graph.node)


def _piece(model: Any, start: int, end: int, folder: Path) -> Any:
    """The nodes start .. end - 1 as a model of their own, their weights read from `folder`."""
    graph, nodes = model.graph, model.graph.node[start:end]
    made = {name for node in nodes for name in node.output if name}
    used = {name for node in nodes for name in _consumed(node)}
    later = {name for node in model.graph.node[end:] for name in _consumed(node)} | {out.name for out in graph.output}
    types = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
    weights = [tensor for tensor in graph.initializer if tensor.name in used]
    own = {tensor.name for tensor in weights}
    piece = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    piece.graph.name = f"{graph.name}-{start}"
    piece.graph.node.extend(nodes)
    piece.graph.initializer.extend(weights)
    for tensor in piece.graph.initializer:
        if uses_external_data(tensor):
            load_external_data_for_tensor(tensor, str(folder))
            tensor.ClearField("data_location")
            tensor.ClearField("external_data")
    piece.graph.input.extend(types[name] for name in sorted(used - made - own))
    piece.graph.output.extend(types[name] for name in sorted(made & later))
    return piece


def _consumed(node: Any) -> Iterable[str]:
    """The names `node` reads, those read inside its subgraphs too."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield from (name for inner in attribute.g.node for name in _consumed(inner))


def _size(tensor: Any) -> int:
    if uses_external_data(tensor):
        return int(next((entry.value for entry in tensor.external_data if entry.key == "length"), 0))
    return tensor.ByteSize()
