"""What this machine's arithmetic can reach at most: published for GPUs that are known, measured for CPUs."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from latentpress.bench.flops import Convolution, Shape
from latentpress.bundle.inputs import Array
from latentpress.engines.cpu import OnnxCpuSession

# Dense FLOP/s of one device with fp16 or bf16 inputs, from NVIDIA's data sheets, without sparsity, in TFLOP/s. What
# large matrix products reach is less, about four fifths of it.
GPU_TFLOPS = {
    "A100": 312.0,
    "H100": 989.0,
    "H200": 989.0,
    "B200": 2250.0,
    "L4": 121.0,
    "L40S": 362.0,
    "RTX 4090": 165.0,
    "RTX 3090": 71.0,
}


@dataclass(frozen=True)
class Ceiling:
    """flops: per second; how: by whom and how it was found."""

    device: str
    flops: float
    how: str


def gpu_ceiling(name: str) -> Ceiling | None:
    """The published half-precision ceiling of the GPU called `name` by its driver; None where it is not in the table."""
    known = [key for key in GPU_TFLOPS if key.lower() in name.lower()]
    if not known:
        return None
    return Ceiling(name, GPU_TFLOPS[max(known, key=len)] * 1e12, "published by its maker for 16-bit floats")


def cpu_ceiling(
    name: str,
    threads: int | None = None,
    *,
    bf16: bool = False,
    convolutions: Sequence[Convolution] = (),
    size: int = 1536,
    seconds: float = 0.2,
) -> Ceiling:
    """The best of products of `size` x `size` matrices and of `convolutions`, each tried for `seconds`, on `threads` or all.

    In float32 ONNX Runtime's and torch's in turns: neither has the faster kernels on every processor. In bfloat16 torch's
    alone: ONNX Runtime has none on a CPU. Convolutions pass products where they need fewer multiplications than are counted
    (Winograd's algorithm), so that a ceiling of products alone can be passed.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    kind = torch.bfloat16 if bf16 else torch.float32
    try:
        a, b = torch.randn(2, size, size, dtype=kind)
        calls: list[Callable[[], object]] = [lambda: torch.mm(a, b)]
        if not bf16:
            calls.append(_on_onnx(_product(size), {"a": a.numpy(), "b": b.numpy()}, threads))
        best, what = _best(calls, seconds, 2.0 * size**3), "matrix products"
        for convolution in convolutions:
            found = _best(_convolved(convolution, kind, threads), seconds, _flops(convolution))
            if found > best:
                best, what = found, "convolutions of its own shapes"
    finally:
        torch.set_num_threads(before)
    how = "torch's bfloat16" if bf16 else "the best of ONNX Runtime's and torch's float32"
    return Ceiling(name, best, f"{how} {what} here")


def _best(calls: Sequence[Callable[[], object]], seconds: float, flops: float) -> float:
    """The FLOP/s of the fastest call within `seconds`, two of each at least."""
    best = float("inf")
    end, rounds = time.perf_counter() + seconds, 0
    while time.perf_counter() < end or rounds < 2:
        for call in calls:
            started = time.perf_counter()
            call()
            best = min(best, time.perf_counter() - started)
        rounds += 1
    return flops / best


def _flops(convolution: Convolution) -> float:
    _, _, height, width = convolution.shape
    top, left, bottom, right = convolution.pads
    out, inner, kernel_height, kernel_width = convolution.kernel
    rows = (height + top + bottom - kernel_height) // convolution.strides[0] + 1
    columns = (width + left + right - kernel_width) // convolution.strides[1] + 1
    return 2.0 * convolution.shape[0] * out * rows * columns * inner * kernel_height * kernel_width


def _convolved(convolution: Convolution, kind: Any, threads: int | None) -> list[Callable[[], object]]:
    """Functions that compute it, with torch and, in float32, with ONNX Runtime."""
    import torch

    x, w = torch.randn(convolution.shape, dtype=kind), torch.randn(convolution.kernel, dtype=kind)
    top, left, bottom, right = convolution.pads
    padded = x if (top, left) == (bottom, right) else torch.nn.functional.pad(x, (left, right, top, bottom))
    padding = (top, left) if padded is x else (0, 0)
    # As inference has it: without, torch keeps what a gradient would need.
    plain = torch.no_grad()(
        lambda: torch.nn.functional.conv2d(
            padded, w, stride=convolution.strides, padding=padding, groups=convolution.groups
        )
    )
    calls: list[Callable[[], object]] = [plain]
    if kind == torch.float32:
        calls.append(_on_onnx(_convolution(convolution, w.numpy()), {"a": x.numpy()}, threads))
    return calls


def _on_onnx(graph: bytes, inputs: Mapping[str, Array], threads: int | None) -> Callable[[], object]:
    session = OnnxCpuSession(graph, threads)
    return lambda: session.run(inputs)


def _product(size: int) -> bytes:
    from onnx import helper

    return _graph(helper.make_node("MatMul", ["a", "b"], ["c"]), {"a": (size, size), "b": (size, size)}, 2)


def _convolution(convolution: Convolution, weights: Array) -> bytes:
    """Its weights are the graph's own: ONNX Runtime lays them out for its kernels when the session opens."""
    from onnx import helper, numpy_helper

    node = helper.make_node(
        "Conv", ["a", "w"], ["c"], strides=convolution.strides, pads=convolution.pads, group=convolution.groups
    )
    return _graph(node, {"a": convolution.shape}, 4, [numpy_helper.from_array(weights, "w")])


def _graph(node: Any, inputs: Mapping[str, Shape], rank: int, weights: Sequence[Any] = ()) -> bytes:
    import onnx
    from onnx import helper

    kind = onnx.TensorProto.FLOAT
    begins = [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()]
    ends = [helper.make_tensor_value_info("c", kind, [None] * rank)]
    graph = helper.make_graph([node], "ceiling", begins, ends, weights)
    # The opset and the format of the oldest ONNX Runtime that is supported.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return model.SerializeToString()
