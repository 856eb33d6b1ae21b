"""Rewrites a bfloat16 ONNX graph in float32: the same operators on the same rounded weights, for engines without bf16."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

_BF16, _F32 = onnx.TensorProto.BFLOAT16, onnx.TensorProto.FLOAT


def widen_model(model: Any) -> Any:
    """`model`, its weights in memory, with every bfloat16 tensor in it made float32 in place."""
    for graph in _graphs(model.graph):
        for tensor in graph.initializer:
            _widen(tensor)
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type == _BF16:
                value.type.tensor_type.elem_type = _F32
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.name in ("to", "dtype") and attribute.i == _BF16:
                    attribute.i = _F32
                if attribute.HasField("t"):
                    _widen(attribute.t)
    return model


def _graphs(graph: Any) -> Iterable[Any]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _widen(tensor: Any) -> None:
    if tensor.data_type == _BF16:
        wide = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
