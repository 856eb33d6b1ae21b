"""What this machine's arithmetic can reach at most: published for GPUs that are known, measured for CPUs."""

import time
from dataclasses import dataclass

import numpy as np

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
    """flops: per second; how: `measured` by a matrix product here, or `published`."""

    device: str
    flops: float
    how: str


def gpu_ceiling(name: str) -> Ceiling | None:
    """The published half-precision ceiling of the GPU called `name` by its driver; None where it is not in the table."""
    known = [key for key in GPU_TFLOPS if key.lower() in name.lower()]
    if not known:
        return None
    return Ceiling(name, GPU_TFLOPS[max(known, key=len)] * 1e12, "published")


def cpu_ceiling(name: str, size: int = 1536, seconds: float = 1.0) -> Ceiling:
    """The best of float32 matrix products of `size` x `size` within `seconds`, through numpy's BLAS on all its threads."""
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((size, size), dtype=np.float32) for _ in range(2))
    a @ b
    best = float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return Ceiling(name, 2.0 * size**3 / best, "measured")
