"""What a session's engine runs on: CPU or GPU, and its name."""

import os

from latentpress.runtime.engines.devices import cpu_name

_ON_GPU = ("cuda", "tensorrt")


def on_gpu(provider: str) -> bool:
    """Whether the engine that calls itself `provider` runs on a GPU."""
    return any(name in provider for name in _ON_GPU)


def device_name(provider: str) -> str:
    """The GPU's name as its driver tells it, or the processor's and the number of CPUs this process may use."""
    if on_gpu(provider):
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else "GPU"
    return f"{cpu_name()}, {cpu_count()} CPUs"


def cpu_count() -> int:
    """CPUs this process may use, which a container or taskset may have limited."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
