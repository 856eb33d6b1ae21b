"""Floating-point operations of an ONNX graph at given input shapes: what convolutions, products and attention cost."""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import onnx

from latentpress.bench.fused_shapes import with_standard_operators

Shape = tuple[int, ...]


CONVOLUTION, PRODUCT, ATTENTION = "convolution", "product", "attention"


@dataclass(frozen=True)
class Convolution:
    """shape: of its input, (N, C, H, W); kernel: of its weights, (out, in / groups, kernel height, kernel width)."""

    shape: Shape
    kernel: Shape
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    groups: int


@dataclass(frozen=True)
class Operation:
    """What one node computes. kind: CONVOLUTION, PRODUCT or ATTENTION; convolution: its shapes, where it is a plain one."""

    kind: str
    flops: float
    convolution: Convolution | None = None


def graph_flops(path: Path, inputs: Mapping[str, Shape]) -> float:
    """Operations of one call, as `graph_operations` counts them."""
    return float(sum(operation.flops for operation in graph_operations(path, inputs)))


def graph_operations(path: Path, inputs: Mapping[str, Shape]) -> list[Operation]:
    """Operations of one call, a multiply and an add counted as two; elementwise operators and norms are left out.

    path: the graph; weights beside it are not read. inputs: the shape of each of its inputs.
    Raises ValueError where a shape the count needs cannot be inferred.
    """
    model = onnx.load(path, load_external_data=False)
    bound: dict[str, int] = {}
    for value in model.graph.input:
        if value.name in inputs:
            for axis, size in zip(value.type.tensor_type.shape.dim, inputs[value.name], strict=True):
                bound[axis.dim_param] = size
    # The exporter wrote down what each size is in those of the inputs, e.g. "((height - 1)//2) + 1"; what it left out, the
    # inference finds from there.
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.HasField("dim_param"):
                size = _evaluated(axis.dim_param, bound)
                axis.Clear() if size is None else setattr(axis, "dim_value", size)
    nodes = list(model.graph.node)
    inferred = onnx.shape_inference.infer_shapes(with_standard_operators(model), data_prop=True)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in inferred.graph.initializer}
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        sizes = value.type.tensor_type.shape.dim
        shapes[value.name] = tuple(size.dim_value if size.HasField("dim_value") else 0 for size in sizes)
    return [_operation(node, shapes) for node in nodes if node.op_type in _COUNTS]


def _operation(node: Any, shapes: Mapping[str, Shape]) -> Operation:
    kind, count = _COUNTS[node.op_type]
    plain = node.op_type == "Conv" and len(_shape(node.input[0], shapes)) == 4
    return Operation(kind, count(node, shapes), _plain_convolution(node, shapes) if plain else None)


def _plain_convolution(node: Any, shapes: Mapping[str, Shape]) -> Convolution | None:
    given = {attribute.name: attribute for attribute in node.attribute}
    if "dilations" in given and set(given["dilations"].ints) != {1}:
        return None
    strides = tuple(given["strides"].ints) if "strides" in given else (1, 1)
    pads = tuple(given["pads"].ints) if "pads" in given else (0, 0, 0, 0)
    groups = given["group"].i if "group" in given else 1
    return Convolution(_shape(node.input[0], shapes), _shape(node.input[1], shapes), strides, pads, groups)


_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}


def _evaluated(expression: str, bound: Mapping[str, int]) -> int | None:
    """A size written as whole-number arithmetic on `bound` names; None where it is more than that."""

    def value(node: ast.expr) -> int | None:
        if isinstance(node, ast.Name):
            return bound.get(node.id)
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, int) else None
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            left, right = value(node.left), value(node.right)
            return None if left is None or right is None else _OPERATORS[type(node.op)](left, right)
        return None

    try:
        return value(ast.parse(expression, mode="eval").body)
    except SyntaxError:
        return None


def _shape(name: str, shapes: Mapping[str, Shape]) -> Shape:
    shape = shapes.get(name, ())
    if not shape or not all(shape):
        raise ValueError(f"the shape of {name!r} cannot be inferred")
    return shape


def _convolution(node: Any, shapes: Mapping[str, Shape]) -> float:
    # Weights are (out, in / groups, kernel...), an NhwcConv's (out, kernel..., in / groups); each output element takes one
    # multiply-add for each of in / groups x k.
    return 2.0 * prod(_shape(node.output[0], shapes)) * prod(_shape(node.input[1], shapes)[1:])


def _product(node: Any, shapes: Mapping[str, Shape]) -> float:
    inner = _shape(node.input[0], shapes)[-1]
    return 2.0 * prod(_shape(node.output[0], shapes)) * inner


def _gemm(node: Any, shapes: Mapping[str, Shape]) -> float:
    a = _shape(node.input[0], shapes)
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return 2.0 * prod(_shape(node.output[0], shapes)) * a[0 if transposed else 1]


def _attention(node: Any, shapes: Mapping[str, Shape]) -> float:
    """q k^T and its product with v; (batch, heads, tokens, size), or (batch, tokens, channels)."""
    query, key = _shape(node.input[0], shapes), _shape(node.input[1], shapes)
    return 4.0 * prod(query) * key[-2]


_COUNTS: dict[str, tuple[str, Callable[[Any, Mapping[str, Shape]], float]]] = {
    "Conv": (CONVOLUTION, _convolution),
    "NhwcConv": (CONVOLUTION, _convolution),
    "MatMul": (PRODUCT, _product),
    "Gemm": (PRODUCT, _gemm),
    "Attention": (ATTENTION, _attention),
    "MultiHeadAttention": (ATTENTION, _attention),
}
