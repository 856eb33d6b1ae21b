"""Gives ONNX's shape inference the sizes of ONNX Runtime's own operators, which it does not know.

Each is replaced by standard operators of the same output shapes; what they compute does not matter here.
"""

from typing import Any

import onnx
from onnx import NodeProto, helper

DOMAIN = "com.microsoft"
# Their first output is as large as their first input, and so is each further one that is used (SkipGroupNorm's and
# SkipLayerNormalization's sums).
_AS_INPUT = (
    "GroupNorm",
    "SkipGroupNorm",
    "SkipLayerNormalization",
    "MultiHeadAttention",
    "BiasAdd",
    "BiasGelu",
    "FastGelu",
    "Gelu",
    "QuickGelu",
)


def with_standard_operators(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` whose tensors have the same names and shapes, and whose operators inference knows."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes: list[NodeProto] = []
    for node in copy.graph.node:
        nodes += _standard(node) if node.domain == DOMAIN else [node]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy


def _standard(node: NodeProto) -> list[NodeProto]:
    if node.op_type == "NhwcConv":
        return _convolution(node)
    if node.op_type == "BiasSplitGelu":
        # The second half of the channels gates the first.
        return [
            helper.make_node(
                "Split", [node.input[0]], [node.output[0], f"{node.output[0]}:gate"], axis=-1, num_outputs=2
            )
        ]
    if node.op_type in _AS_INPUT:
        return [helper.make_node("Identity", [node.input[0]], [output]) for output in node.output if output]
    return [node]


def _convolution(node: NodeProto) -> list[NodeProto]:
    """Pictures and weights with channels last -> first, the standard operator, and back."""
    name = node.output[0]
    inner: Any = helper.make_node("Conv", [f"{name}:x", f"{name}:w", *node.input[2:]], [f"{name}:y"])
    inner.attribute.extend(node.attribute)
    return [
        helper.make_node("Transpose", [node.input[0]], [f"{name}:x"], perm=[0, 3, 1, 2]),
        helper.make_node("Transpose", [node.input[1]], [f"{name}:w"], perm=[0, 3, 1, 2]),
        inner,
        helper.make_node("Transpose", [f"{name}:y"], [name], perm=[0, 2, 3, 1]),
    ]
