"""The bundle's VAE encoder in torch, for losses that compare features: its ONNX graph, computed node by node.

A bundle holds the encoder as a graph alone. It uses a dozen operators, so torch computes it as it stands, with the weights
that are in it, and differentiates it. Knows nothing of losses.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from latentpress.bundle.info import Bundle

Values = dict[str, Tensor]
Operator = Callable[..., Tensor]


class VaeEncoder:
    """Images about 0..1 -> features; reads the bundle's graph when it is first called."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def __call__(self, image: Tensor) -> list[Tensor]:
        """Of an image (1, 3, H, W) or (3, H, W) the features (1, C, h, w) at each resolution, the largest first.

        Each is what the encoder has before it halves the size, the last what its last convolution takes.
        """
        batch = image if image.dim() == 4 else image[None]
        values = self._graph.run(batch.to(torch.float32) * 2 - 1, self._marked)
        return [values[name] for name in self._marked]

    def moments(self, image: Tensor) -> Tensor:
        """All of the encoder, of an image (1, 3, H, W): mean and log variance of its latents, (1, 8, h, w)."""
        output = self._graph.output
        return self._graph.run(image * 2 - 1, [output])[output]

    @cached_property
    def _graph(self) -> "TorchGraph":
        return TorchGraph(self._bundle.file(f"{self._bundle.info.encoder.name}.onnx"))

    @cached_property
    def _marked(self) -> list[str]:
        """The names of the features among the graph's values."""
        return self._graph.inputs_of(lambda weight: ".downsamplers." in weight or weight == "encoder.conv_out.weight")


class TorchGraph:
    """The ONNX graph in the file `path`, with one input, computed by torch."""

    def __init__(self, path: Path) -> None:
        import onnx
        from onnx import helper, numpy_helper

        graph: Any = onnx.load(str(path)).graph
        self.output: str = graph.output[0].name
        self._input: str = graph.input[0].name
        self._weights: Values = {
            one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer
        }
        self._nodes: list[_Node] = [
            _Node(
                node.op_type,
                tuple(node.input),
                node.output[0],
                {one.name: helper.get_attribute_value(one) for one in node.attribute},
            )
            for node in graph.node
        ]

    def inputs_of(self, weights: Callable[[str], bool]) -> list[str]:
        """What goes into the convolutions whose weight has such a name, in the graph's order."""
        return [node.inputs[0] for node in self._nodes if node.kind == "Conv" and weights(node.inputs[1])]

    def run(self, value: Tensor, wanted: Sequence[str]) -> Values:
        """The values called `wanted` where the graph's input is `value`; goes no further than the last of them."""
        values = {**self._weights, "": torch.empty(0), self._input: value}
        missing = set(wanted)
        for node in self._nodes:
            if not missing:
                break
            found = _OPERATORS[node.kind](*(values[name] for name in node.inputs), **node.attributes)
            values[node.output] = found
            missing.discard(node.output)
        return {name: values[name] for name in wanted}


class _Node:
    """A node of a graph with one output."""

    def __init__(self, kind: str, inputs: tuple[str, ...], output: str, attributes: Mapping[str, Any]) -> None:
        self.kind, self.inputs, self.output, self.attributes = kind, inputs, output, attributes


# ONNX's operators, with its names of attributes.


def _conv(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, pads: Sequence[int], strides: Sequence[int], **_: Any
) -> Tensor:
    top, left, bottom, right = pads
    return functional.conv2d(functional.pad(x, (left, right, top, bottom)), weight, bias, tuple(strides))


def _shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    return torch.tensor(x.shape[start:end], dtype=torch.int64)


def _reshape(x: Tensor, shape: Tensor, *, allowzero: int = 0) -> Tensor:
    sizes = [int(size) for size in shape]
    return x.reshape([x.shape[at] if size == 0 and not allowzero else size for at, size in enumerate(sizes)])


def _slice(x: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    for axis, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        begin, stop, _ = slice(start, end).indices(x.shape[axis])  # "to the end" is a number that no size reaches
        x = x.narrow(axis, begin, max(0, stop - begin))
    return x


def _squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(tuple(axes.tolist()))


def _div(x: Tensor, y: Tensor) -> Tensor:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


_OPERATORS: Mapping[str, Operator] = {
    "Add": torch.add,
    "Mul": torch.mul,
    "Div": _div,
    "MatMul": torch.matmul,
    "Sigmoid": torch.sigmoid,
    "Conv": _conv,
    "InstanceNormalization": lambda x, weight, bias, *, epsilon=1e-5: functional.instance_norm(
        x, weight=weight, bias=bias, eps=epsilon
    ),
    "Softmax": lambda x, *, axis=-1: torch.softmax(x, axis),
    "Transpose": lambda x, *, perm: x.permute(*perm),
    "Concat": lambda *parts, axis: torch.cat([part.reshape(-1) if part.dim() == 0 else part for part in parts], axis),
    "Shape": _shape,
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": _squeeze,
}
