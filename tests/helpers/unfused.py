"""A graph of the cuda flavour -> one that ONNX Runtime's CPU provider runs, its operators spelled out.

From ONNX Runtime's description of them (docs/ContribOperators.md), not from what writes them. The other fused operators,
MultiHeadAttention and SkipLayerNormalization, the CPU provider has.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def unfused(model: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    """`model`, of a graph in `precision`, in standard operators where the CPU provider has none of its own."""
    writer = _Writer(model, TensorProto.FLOAT16 if precision == "fp16" else TensorProto.FLOAT)
    for node in list(model.graph.node):
        write = getattr(writer, node.op_type, None) if node.domain == "com.microsoft" else None
        if write is None:
            writer.nodes.append(node)
        else:
            write(node, {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute})
    del model.graph.node[:]
    model.graph.node.extend(writer.nodes)
    return model


class _Writer:
    def __init__(self, model, kind):
        self.model = model
        self.kind = kind
        self.nodes = []

    def add(self, kind, inputs, output=None, **attributes):
        output = output or f"unfused_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, values, dtype=np.float32):
        name = f"unfused_constant_{len(self.model.graph.initializer)}"
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def NhwcConv(self, node, attributes):
        x = self.add("Transpose", [node.input[0]], perm=[0, 3, 1, 2])
        w = self.add("Transpose", [node.input[1]], perm=[0, 3, 1, 2])
        y = self.add("Conv", [x, w, *node.input[2:]], **attributes)
        self.add("Transpose", [y], node.output[0], perm=[0, 2, 3, 1])

    def GroupNorm(self, node, attributes):
        self.group_norm(node.input[0], node.input[1], node.input[2], node.output[0], attributes)

    def SkipGroupNorm(self, node, attributes):
        x, gamma, beta, skip, *bias = node.input
        if any(
            value.name == skip and len(value.type.tensor_type.shape.dim) == 2 for value in self.model.graph.value_info
        ):
            skip = self.add("Unsqueeze", [skip, self.constant([1, 2], np.int64)])
        total = self.add("Add", [x, skip], None if bias or len(node.output) < 2 else node.output[1])
        if bias:
            total = self.add("Add", [total, bias[0]], node.output[1] if len(node.output) > 1 else None)
        self.group_norm(total, gamma, beta, node.output[0], attributes)

    def group_norm(self, x, gamma, beta, output, attributes):
        """(batch, h, w, C): each group of C / groups channels to mean 0 and variance 1, then gamma, beta, SiLU or not."""
        assert attributes.get("channels_last", 1) == 1
        groups = attributes["groups"]
        # The kernel's sums, gamma and beta are float32 whatever its pictures are.
        first = self.add("Transpose", [self.add("Cast", [x], to=TensorProto.FLOAT)], perm=[0, 3, 1, 2])
        flat = self.add("Reshape", [first, self.constant([0, groups, -1], np.int64)])
        ones, zeros = self.constant(np.ones(groups)), self.constant(np.zeros(groups))
        normal = self.add("InstanceNormalization", [flat, ones, zeros], epsilon=attributes["epsilon"])
        shaped = self.add("Reshape", [normal, self.add("Shape", [first])])
        last = self.add("Transpose", [shaped], perm=[0, 2, 3, 1])
        scaled = self.add("Mul", [last, gamma])
        y = self.add("Add", [scaled, beta])
        if attributes.get("activation", 0) == 1:
            y = self.add("Mul", [y, self.add("Sigmoid", [y])])
        self.add("Cast", [y], output, to=self.kind)

    def BiasAdd(self, node, attributes):
        self.add("Add", [self.add("Add", [node.input[0], node.input[1]]), node.input[2]], node.output[0])

    def BiasSplitGelu(self, node, attributes):
        total = self.add("Add", [node.input[0], node.input[1]])
        left, gate = f"{node.output[0]}_left", f"{node.output[0]}_gate"
        self.nodes.append(helper.make_node("Split", [total], [left, gate], axis=-1, num_outputs=2))
        self.add("Mul", [left, self.add("Gelu", [gate])], node.output[0])
