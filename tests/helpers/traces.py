"""Traces of small models for tests: one for each architecture, filled with each checkpoint's weights.

Torch takes 4 to 30 s to trace a model of a few thousand weights, and what it writes depends on their values in two ways
only, which are part of what a trace is kept under: the optimizer merges weights that are alike, and drops sums with zeros
and products with ones.
"""

import contextlib
import hashlib
import json
from collections.abc import Collection

import onnx
import pytest
import torch

from store import kept

# Under this name a kept graph says which of its initializers are which weights.
_FILLED = "filled"


@contextlib.contextmanager
def shared_traces(*, but: Collection[str] = ()):
    """Exports here trace each architecture once in a test run, and fill in the weights of their own.

    They give no memory back, which takes a quarter of a second each time. but: graphs that are
    traced all the same.
    """
    from latentpress.export import pipeline
    from latentpress.export.graphs import flavours

    trace = flavours.trace

    def traced(graph, work, opset, *translations):
        if graph.name in but:
            return trace(graph, work, opset, *translations)
        weights = {name: _bytes(tensor) for name, tensor in graph.module.state_dict().items()}

        def make():
            made = trace(graph, work, opset, *translations).read_bytes()
            assert not list(work.glob("*.data")), "a small graph keeps its weights inside"
            return _open(made, graph.module.state_dict(), weights)

        found = kept(_digest(graph, (opset, bool(translations)), weights), make)
        (work / f"{graph.name}.onnx").write_bytes(_fill(found, graph.module.state_dict(), weights))
        return work / f"{graph.name}.onnx"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flavours, "trace", traced)
        patch.setattr(pipeline, "release_memory", lambda: None)
        yield


def _bytes(tensor) -> bytes:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _open(made: bytes, state, weights) -> bytes:
    """The graph with a note of which initializer holds which weight, as it is or transposed."""
    model = onnx.load_from_string(made)
    plain = {content: [name, False] for name, content in reversed(weights.items())}
    turned = {_bytes(tensor.T): [name, True] for name, tensor in reversed(state.items()) if tensor.ndim == 2}
    sources = {}
    for initializer in model.graph.initializer:
        source = plain.get(initializer.raw_data) or turned.get(initializer.raw_data)
        if source:
            sources[initializer.name] = source
    model.metadata_props.add(key=_FILLED, value=json.dumps(sources))
    return model.SerializeToString()


def _fill(kept_graph: bytes, state, weights) -> bytes:
    """The graph with these weights."""
    model = onnx.load_from_string(kept_graph)
    note = model.metadata_props.pop()
    assert note.key == _FILLED
    sources = json.loads(note.value)
    for initializer in model.graph.initializer:
        if initializer.name in sources:
            name, transposed = sources[initializer.name]
            initializer.raw_data = _bytes(state[name].T) if transposed else weights[name]
    return model.SerializeToString()


def _digest(graph, how, weights) -> str:
    """Of all that decides what a trace of `graph` gives, but for its weights: how it is traced, its settings, its modules.

    Of the weights, which are alike, and which are nothing but zeros or ones.
    """
    plain = {key: value for key, value in vars(graph.module).items() if isinstance(value, bool | int)}
    kinds = [
        (type(module).__name__, type(getattr(module, "processor", None)).__name__, module.extra_repr())
        for module in graph.module.modules()
    ]
    digest = hashlib.sha256(f"{graph.name} {graph.outputs} {how} {plain} {kinds}".encode())
    first = {}
    for name, tensor in sorted(graph.module.state_dict().items()):
        same = first.setdefault(weights[name], name)
        constant = tensor.flatten()[0].item() if (tensor == tensor.flatten()[0]).all() else None
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} {same} {constant}".encode())
    return digest.hexdigest()
