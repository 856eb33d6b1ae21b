"""What an ONNX graph computes, as a hash: equal for graphs that give equal numbers by equal steps, however they are stored.

A value's hash is that of the operator that makes it, its attributes and its inputs' hashes; the graph's is that of its
outputs'. So names of nodes and of inner values, their order, what nothing reads, who wrote the file and when, shapes noted
beside values, and how and in which file a tensor lies all count for nothing. Knows nothing of bundles.
"""

import struct
from collections import ChainMap
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from latentpress.bundle.digests import digest
from latentpress.errors import BundleError

# What may lie between the input and the Gather without changing which row an id picks (Max: of an id and -1 - id).
_TRANSPARENT = {"Cast", "Max", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}
_TYPES: Any = onnx.AttributeProto

# Value's name -> its hash; an inner graph sees what the outer one made before it.
_Values = ChainMap[str, bytes]


def graph_content(path: Path, without: Collection[int] = ()) -> str:
    """Lowercase hex sha256 of what the graph at `path` computes; raises BundleError where it cannot be followed.

    without: rows of the token embedding to leave out, those of concepts. Tensors in external files are read one at a time.
    """
    try:
        model: Any = onnx.load(path, load_external_data=False)
        embedding = find_embedding(model, path.name).name if without else ""
        return _Hasher(model, path.parent, embedding, without).graph().hex()
    except (OSError, ValueError, KeyError, onnx.checker.ValidationError, DecodeError) as error:
        raise BundleError(f"{path}: not a graph that can be read ({error}); export the bundle again") from None


def find_embedding(model: Any, where: str) -> Any:
    """The initializer that a Gather indexes by the graph input `input_ids`; raises BundleError if there is none."""
    carriers = {"input_ids"}
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: Iterable[Any] = model.graph.node  # in topological order, as ONNX demands
    for node in nodes:
        if node.op_type in _TRANSPARENT and node.input[0] in carriers:
            carriers.update(node.output)
        elif node.op_type == "Gather" and node.input[1] in carriers and node.input[0] in initializers:
            return initializers[node.input[0]]
    raise BundleError(f"{where}: no embedding is indexed by input_ids; concepts cannot be baked into this text encoder")


class _Hasher:
    """Walks one model, whose external tensors lie in `folder`; the initializer `embedding` is hashed without some rows."""

    def __init__(self, model: Any, folder: Path, embedding: str, without: Collection[int]) -> None:
        self._model = model
        self._folder = folder
        self._embedding = embedding
        self._without = without
        self._functions: dict[tuple[str, str], Any] = {(each.domain, each.name): each for each in model.functions}
        self._opsets = _opsets(model.opset_import)

    def graph(self) -> bytes:
        graph = self._model.graph
        stored = {tensor.name for tensor in graph.initializer}
        given = [value for value in graph.input if value.name not in stored]
        values: _Values = ChainMap({value.name: digest("input", value.name) for value in given})
        self._follow(graph, values, self._opsets, 0)
        inputs = [digest(value.name, *_typed(value)) for value in given]
        outputs = [digest(value.name, _typed(value)[0], values[value.name]) for value in graph.output]
        return digest("graph", *inputs, "->", *outputs)

    def _follow(self, graph: Any, values: _Values, opsets: dict[str, int], depth: int) -> None:
        """Add to `values` what the initializers and nodes of `graph` make."""
        for tensor in graph.initializer:
            values[tensor.name] = self._tensor(tensor, tensor.name == self._embedding and depth == 0)
        for node in graph.node:
            self._node(node, values, opsets, depth)

    def _node(self, node: Any, values: _Values, opsets: dict[str, int], depth: int) -> None:
        domain = _domain(node.domain)
        attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
        if (domain, node.op_type) == ("", "Constant") and [each.name for each in attributes] == ["value"]:
            values[node.output[0]] = self._tensor(attributes[0].t)  # which an exporter may as well make an initializer
            return
        function = self._functions.get((node.domain, node.op_type))
        made = digest(
            *("node", domain, node.op_type, opsets.get(domain, 0)),
            b"" if function is None else self._function(function, depth + 1),
            *(self._attribute(each, values, opsets, depth) for each in attributes),
            *("inputs", *(values[name] if name else b"" for name in node.input)),
            *("outputs", *(int(bool(name)) for name in node.output)),
        )
        values.update({name: digest(made, index) for index, name in enumerate(node.output) if name})

    def _function(self, function: Any, depth: int) -> bytes:
        opsets = _opsets(function.opset_import)
        values: _Values = ChainMap(
            {name: digest("inner input", depth, index) for index, name in enumerate(function.input)}
        )
        for node in function.node:
            self._node(node, values, opsets, depth)
        return digest("function", *(values[name] for name in function.output))

    def _inner(self, graph: Any, values: _Values, opsets: dict[str, int], depth: int) -> bytes:
        """An attribute's graph, as of If and Loop."""
        own = values.new_child(
            {value.name: digest("inner input", depth, index) for index, value in enumerate(graph.input)}
        )
        self._follow(graph, own, opsets, depth)
        return digest("inner graph", *(own[value.name] for value in graph.output))

    def _attribute(self, attribute: Any, values: _Values, opsets: dict[str, int], depth: int) -> bytes:
        kind = attribute.type
        if attribute.ref_attr_name:
            content = [attribute.ref_attr_name]
        elif kind in (_TYPES.FLOAT, _TYPES.FLOATS):
            content = [
                struct.pack("<f", each) for each in ([attribute.f] if kind == _TYPES.FLOAT else attribute.floats)
            ]
        elif kind in (_TYPES.INT, _TYPES.INTS):
            content = [attribute.i] if kind == _TYPES.INT else list(attribute.ints)
        elif kind in (_TYPES.STRING, _TYPES.STRINGS):
            content = [attribute.s] if kind == _TYPES.STRING else list(attribute.strings)
        elif kind in (_TYPES.TENSOR, _TYPES.TENSORS):
            content = [self._tensor(each) for each in ([attribute.t] if kind == _TYPES.TENSOR else attribute.tensors)]
        elif kind in (_TYPES.GRAPH, _TYPES.GRAPHS):
            graphs = [attribute.g] if kind == _TYPES.GRAPH else attribute.graphs
            content = [self._inner(each, values, opsets, depth + 1) for each in graphs]
        else:
            raise ValueError(f"attribute {attribute.name} is of a type that no exporter here writes")
        return digest(attribute.name, kind, *content)

    def _tensor(self, tensor: Any, embedding: bool = False) -> bytes:
        """Type, shape and little-endian bytes, wherever and in whichever field they are."""
        data, dims = self._bytes(tensor), list(tensor.dims)
        if not embedding:
            return digest("tensor", tensor.data_type, *dims, data)
        if len(dims) != 2 or not dims[0]:
            raise ValueError(f"the token embedding has the shape {dims}")
        row = len(data) // dims[0]
        kept = [index for index in range(dims[0]) if index not in self._without]
        # Concepts are the last rows, unless a checkpoint has other rows after them, whose places then count.
        places = kept if kept and kept[-1] >= len(kept) else []
        rows = memoryview(data)
        return digest(
            *("tensor", tensor.data_type, len(kept), dims[1]),
            b"".join(rows[index * row : (index + 1) * row] for index in kept),
            *places,
        )

    def _bytes(self, tensor: Any) -> bytes:
        if uses_external_data(tensor):
            held = onnx.TensorProto()
            held.CopyFrom(tensor)
            load_external_data_for_tensor(held, str(self._folder))
            return held.raw_data
        if tensor.HasField("raw_data"):
            return tensor.raw_data
        if tensor.data_type == onnx.TensorProto.STRING:
            return b"".join(digest(each) for each in tensor.string_data)
        return numpy_helper.to_array(tensor).tobytes()


def _typed(value: Any) -> list[str | int]:
    """An input's or output's element type and its sizes; a free size is one by whatever name."""
    kind = value.type.tensor_type
    return [kind.elem_type, *(size.dim_value if size.HasField("dim_value") else "free" for size in kind.shape.dim)]


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _opsets(imports: Iterable[Any]) -> dict[str, int]:
    return {_domain(each.domain): each.version for each in imports}
