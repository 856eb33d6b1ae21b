"""Arithmetic that never changes, timed beside what is measured: how fast the machine is at that moment. Knows no bundle."""

from collections.abc import Callable

import numpy as np

from latentpress.engines.cpu import OnnxCpuSession

# What it does may not change, or runs before and after cannot be compared: then this number rises.
VERSION = 1
_CHANNELS, _SIDE, _LAYERS = 128, 32, 2


def yardstick(threads: int | None, *, gpu: bool = False) -> Callable[[], object]:
    """A function that computes two 3x3 convolutions of 128 channels at 32x32, each with SiLU and a matrix product.

    It takes some milliseconds of a core: with ONNX Runtime's CPU provider on `threads` threads, in float32, or with torch on
    the GPU in float16, at 16 times the rows.
    """
    if gpu:
        return _on_gpu()
    session = OnnxCpuSession(_graph(), threads)
    inputs = {"x": np.random.default_rng(0).standard_normal((1, _CHANNELS, _SIDE, _SIDE), np.float32)}
    return lambda: session.run(inputs)


def _graph() -> bytes:
    import onnx
    from onnx import helper, numpy_helper

    random = np.random.default_rng(1)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    last = "x"
    for layer in range(_LAYERS):
        kernel = random.standard_normal((_CHANNELS, _CHANNELS, 3, 3), np.float32) / np.float32(34)
        matrix = random.standard_normal((_SIDE, _SIDE), np.float32) / np.float32(6)
        weights += [numpy_helper.from_array(kernel, f"w{layer}"), numpy_helper.from_array(matrix, f"m{layer}")]
        nodes += [
            helper.make_node("Conv", [last, f"w{layer}"], [f"c{layer}"], pads=[1, 1, 1, 1]),
            helper.make_node("Sigmoid", [f"c{layer}"], [f"s{layer}"]),
            helper.make_node("Mul", [f"c{layer}", f"s{layer}"], [f"a{layer}"]),
            helper.make_node("MatMul", [f"a{layer}", f"m{layer}"], [f"y{layer}"]),
        ]
        last = f"y{layer}"
    shape = [1, _CHANNELS, _SIDE, _SIDE]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x", last)]
    graph = helper.make_graph(nodes, "yardstick", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return model.SerializeToString()


def _on_gpu() -> Callable[[], object]:
    import torch

    generator = torch.Generator("cuda").manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device="cuda", dtype=torch.float16)

    x = random(16, _CHANNELS, _SIDE, _SIDE)
    kernels = [random(_CHANNELS, _CHANNELS, 3, 3) / 34 for _ in range(_LAYERS)]
    matrices = [random(_SIDE, _SIDE) / 6 for _ in range(_LAYERS)]

    def compute() -> None:
        found = x
        for kernel, matrix in zip(kernels, matrices, strict=True):
            found = torch.nn.functional.silu(torch.nn.functional.conv2d(found, kernel, padding=1)) @ matrix
        torch.cuda.synchronize()

    return compute
