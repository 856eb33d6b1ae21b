"""What this machine's arithmetic can reach at most: published for GPUs that are known, measured for CPUs."""

import time
from collections.abc import Callable
from dataclasses import dataclass

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
    name: str, threads: int | None = None, *, bf16: bool = False, size: int = 1536, seconds: float = 0.5
) -> Ceiling:
    """The best of products of `size` x `size` matrices within `seconds`, on `threads` or all cores.

    In float32 ONNX Runtime's and torch's in turns: neither has the faster kernels on every processor. In bfloat16 torch's
    alone: ONNX Runtime has none on a CPU.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        a, b = torch.randn(2, size, size, dtype=torch.bfloat16 if bf16 else torch.float32)
        calls: list[Callable[[], object]] = [lambda: torch.mm(a, b)]
        if not bf16:
            session = OnnxCpuSession(_product(size), threads)
            inputs = {"a": a.numpy(), "b": b.numpy()}
            calls.append(lambda: session.run(inputs))
        best = float("inf")
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or best == float("inf"):
            for call in calls:
                started = time.perf_counter()
                call()
                best = min(best, time.perf_counter() - started)
    finally:
        torch.set_num_threads(before)
    how = "torch's bfloat16" if bf16 else "the best of ONNX Runtime's and torch's float32"
    return Ceiling(name, 2.0 * size**3 / best, f"{how} matrix products here")


def _product(size: int) -> bytes:
    import onnx
    from onnx import helper

    a, b, c = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [size, size]) for name in "abc")
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "product", [a, b], [c])
    # The opset and the format of the oldest ONNX Runtime that is supported.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return model.SerializeToString()
