"""Makes ONNX graphs of the decoder's layers (layers.py): one of the way ahead, one of the way back. Runs neither.

The layers use a dozen operators and ask for no size, so torch.fx records them in a second, and each operator is one node
of ONNX or two. torch.onnx.export follows every size through every operator, and takes a minute for the smallest decoder.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import fx, nn
from torch.fx._symbolic_trace import PH  # a list's elements are inputs of their own
from torch.nn import functional

from latentpress.runtime.guidance.decoder.layers import DecoderBackward, DecoderForward, tape_widths

OPSET = 20
IR_VERSION = 10  # ONNX Runtime reads it since 1.18, whatever the installed onnx would write
LATENTS, SAMPLE, GRADIENT, LATENT_GRADIENT = "latents", "sample", "gradient", "latent_gradient"

_LATENTS = ("batch", None, "height", "width")
_PIXELS = ("batch", 3, "pixel_height", "pixel_width")


def forward_graph(layers: nn.ModuleList) -> ModelProto:
    """`DecoderForward` as a graph: latents -> sample, tape_0, tape_1, ..."""
    module = DecoderForward(layers)
    return _Writer(module).model(_Tracer().trace(module), {LATENTS: _LATENTS}, {SAMPLE: _PIXELS, **_tape(layers)})


def backward_graph(layers: nn.ModuleList) -> ModelProto:
    """`DecoderBackward` as a graph: gradient, tape_0, tape_1, ... -> latent_gradient."""
    module, tape = DecoderBackward(layers), _tape(layers)
    traced = _Tracer().trace(module, concrete_args={"tape": [PH] * len(tape)})
    return _Writer(module).model(traced, {GRADIENT: _PIXELS, **tape}, {LATENT_GRADIENT: _LATENTS})


def _tape(layers: nn.ModuleList) -> dict[str, tuple[Any, ...]]:
    """The tape's tensors: names, and shapes as far as they are known."""
    return {f"tape_{number}": ("batch", width, None, None) for number, width in enumerate(tape_widths(layers))}


class _Tracer(fx.Tracer):
    """Records weights that are no parameters, too, as what they are: constants of the module."""

    proxy_buffer_attributes = True


class _Writer:
    """Writes the nodes of one traced module, whose weights it has."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}

    def model(
        self, traced: fx.Graph, inputs: Mapping[str, Sequence[Any]], outputs: Mapping[str, Sequence[Any]]
    ) -> ModelProto:
        """inputs, outputs: name -> shape, in the module's order; a size is a number, a name or None."""
        # What is an output has its name from the start: an Identity would copy it, 4% of the way ahead (measured).
        results: Any = next(node.args[0] for node in traced.nodes if node.op == "output")
        listed = results if isinstance(results, list | tuple) else [results]
        called: dict[fx.Node, str] = dict(zip(listed, outputs, strict=True))
        names: dict[fx.Node, str] = {}
        given = iter(inputs)
        for node in traced.nodes:
            if node.op == "placeholder":
                names[node] = next(given)
            elif node.op == "get_attr":
                names[node] = self._weight(str(node.target))
            elif node.op != "output":
                names[node] = called.get(node) or str(node.name)
                self._write(node, names)
        graph = helper.make_graph(
            self._nodes, "decoder", _values(inputs), _values(outputs), list(self._constants.values())
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Write one node; returns its output's name."""
        self._nodes.append(helper.make_node(kind, list(inputs), [output], output, **attributes))
        return output

    def numbers(self, *values: int) -> str:
        """A constant tensor of integers: axes, or a shape."""
        return self.constant("_".join(["int", *map(str, values)]), np.asarray(values, np.int64))

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """A constant of that name, written once; returns the name."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(array, name)
        return name

    def operand(self, value: str | float) -> str:
        """The name of a result, or of a constant for a number."""
        return value if isinstance(value, str) else self.constant(f"float_{value!r}", np.asarray(value, np.float32))

    def _write(self, node: fx.Node, names: Mapping[fx.Node, str]) -> None:
        def named(argument: Any) -> Any:
            return names[argument] if isinstance(argument, fx.Node) else argument

        arguments: list[Any] = [named(argument) for argument in node.args]
        options = {key: named(argument) for key, argument in node.kwargs.items()}
        if node.op == "call_module":
            self._layer(names[node], str(node.target), *arguments)
        else:
            _OPERATORS[node.target](self, names[node], *arguments, **options)

    def _layer(self, output: str, path: str, x: str) -> None:
        """A layer of torch's own with its weights: a convolution, or a linear one with or without a bias."""
        layer = self._module.get_submodule(path)
        weight = self._weight(f"{path}.weight")
        if isinstance(layer, nn.Conv2d):
            bias = [] if layer.bias is None else [self._weight(f"{path}.bias")]
            self.node("Conv", [x, weight, *bias], output, strides=layer.stride, pads=[*layer.padding, *layer.padding])
            return
        assert isinstance(layer, nn.Linear), "layers.py has no other"
        turned = self.node("Transpose", [weight], f"{output}_weight", perm=[1, 0])  # folded when the graph is opened
        biased = f"{path}.bias" in dict(self._module.named_parameters())
        self.node("MatMul", [x, turned], f"{output}_product" if biased else output)
        if biased:
            self.node("Add", [f"{output}_product", self._weight(f"{path}.bias")], output)

    def _weight(self, path: str) -> str:
        return self.constant(path, operator.attrgetter(path)(self._module).detach().contiguous().numpy())


def _values(shapes: Mapping[str, Sequence[Any]]) -> list[Any]:
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]


# Each writes an operator of torch, called as the layers call it, with the names of tensors in place of them.


def _convolution(to: _Writer, output: str, x: str, weight: str, *, padding: int, stride: int = 1) -> None:
    to.node("Conv", [x, weight], output, strides=[stride] * 2, pads=[padding] * 4)


def _interpolated(to: _Writer, output: str, x: str, *, scale_factor: float, mode: str, **_: None) -> None:
    scales = to.constant("scales", np.asarray([1, 1, scale_factor, scale_factor], np.float32))
    rounding = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}  # torch's
    to.node("Resize", [x, "", scales], output, mode=mode, **rounding)


def _reduced(kind: str) -> Callable[..., None]:
    def write(to: _Writer, output: str, x: str, *, dim: int | tuple[int, ...], keepdim: bool) -> None:
        axes = to.numbers(*(dim if isinstance(dim, tuple) else (dim,)))
        to.node(kind, [x, axes], output, keepdims=int(keepdim))

    return write


def _reshaped(to: _Writer, output: str, x: str, *shape: int) -> None:
    to.node("Reshape", [x, to.numbers(*shape)], output)


def _expanded(to: _Writer, output: str, x: str, *shape: int) -> None:
    to.node("Expand", [x, to.numbers(*(1 if size < 0 else size for size in shape))], output)


def _reshaped_as(to: _Writer, output: str, x: str, like: str) -> None:
    to.node("Reshape", [x, to.node("Shape", [like], f"{output}_shape")], output)


def _flattened(to: _Writer, output: str, x: str, start: int) -> None:
    to.node("Reshape", [x, to.numbers(*[0] * start, -1)], output)  # 0: as it is


def _transposed(to: _Writer, output: str, x: str, first: int, second: int) -> None:
    assert (first, second) == (1, 2), "of three axes, the last two"
    to.node("Transpose", [x], output, perm=[0, 2, 1])


def _root(to: _Writer, output: str, x: str) -> None:
    to.node("Reciprocal", [to.node("Sqrt", [x], f"{output}_root")], output)


def _softmax(to: _Writer, output: str, x: str, *, dim: int) -> None:
    to.node("Softmax", [x], output, axis=dim)


def _of_two(kind: str) -> Callable[..., None]:
    def write(to: _Writer, output: str, x: str | float, y: str | float) -> None:
        to.node(kind, [to.operand(x), to.operand(y)], output)

    return write


def _sigmoid(to: _Writer, output: str, x: str) -> None:
    to.node("Sigmoid", [x], output)


_OPERATORS: dict[Any, Callable[..., None]] = {
    functional.conv2d: _convolution,
    torch.conv2d: _convolution,
    functional.interpolate: _interpolated,
    operator.add: _of_two("Add"),
    operator.sub: _of_two("Sub"),
    operator.mul: _of_two("Mul"),
    operator.matmul: _of_two("MatMul"),
    "mean": _reduced("ReduceMean"),
    "sum": _reduced("ReduceSum"),
    "reshape": _reshaped,
    "reshape_as": _reshaped_as,
    "expand": _expanded,
    "flatten": _flattened,
    "transpose": _transposed,
    "rsqrt": _root,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
}
