"""Everything that is needed to repeat a measurement, as plain data: program, libraries, machine, limits and command line."""

import contextlib
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from latentpress.engines.devices import cpu_count, cpu_name, gpus
from latentpress.runtime.busy import today
from latentpress.version import __version__

# What computes pixels and times, beside the engine's own packages; only those installed are named.
_PACKAGES = ("torch", "numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt-cu13", "diffusers")
# What changes how fast libraries compute. Their values are recorded; no other variable is.
_VARIABLES = (
    *("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "KMP_AFFINITY", "KMP_BLOCKTIME"),
    *("ONEDNN_MAX_CPU_ISA", "ORT_DISABLE_ALL_OPTIMIZATIONS", "CUDA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE"),
    *("MALLOC_ARENA_MAX", "LD_PRELOAD", "LATENTPRESS_ENGINE", "LATENTPRESS_THREADS"),
)
_CGROUP = Path("/sys/fs/cgroup")
_GOVERNORS = "/sys/devices/system/cpu"


@dataclass(frozen=True)
class Conditions:
    """command: as it was typed; date: UTC; packages: distribution -> version; cpus: that the process may use, of `all_cpus`;
    memory: bytes of the machine; cpu_limit: in CPUs, memory_limit: in bytes, of the container, None without one;
    governor: of the CPUs' clocks, None where there is none to see; driver, cuda: of the GPU; variables: of the
    environment, those that change speed.
    """

    command: list[str]
    date: str
    latentpress: str
    python: str
    system: str
    packages: dict[str, str]
    processor: str
    cpus: int
    all_cpus: int
    memory: int
    cpu_limit: float | None
    memory_limit: int | None
    governor: str | None
    gpu: str | None
    driver: str | None
    cuda: str | None
    variables: dict[str, str]


def conditions(command: Sequence[str] = ()) -> Conditions:
    """Those of this process now. command: by default what the process was started with."""
    gpu = next(iter(gpus()), None)
    return Conditions(
        command=list(command or ["latentpress", *sys.argv[1:]]),
        date=today(),
        latentpress=__version__,
        python=platform.python_version(),
        system=platform.platform(),
        packages=dict(_versions()),
        processor=cpu_name(),
        cpus=cpu_count(),
        all_cpus=os.cpu_count() or 1,
        memory=psutil.virtual_memory().total,
        cpu_limit=_cpu_limit(),
        memory_limit=_memory_limit(),
        governor=_governor(),
        gpu=gpu.name if gpu else None,
        driver=gpu.driver if gpu else None,
        cuda=_cuda() if gpu else None,
        variables={name: os.environ[name] for name in _VARIABLES if name in os.environ},
    )


def _versions() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found.append((name, version(name)))
    return found


def _cuda() -> str | None:
    import torch

    return torch.version.cuda


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text().splitlines()[0].strip()
    except (OSError, IndexError, ValueError):
        return None


def _cpu_limit() -> float | None:
    """By control groups of version 2: quota over period."""
    words = (_first_line(_CGROUP / "cpu.max") or "max").split()
    return int(words[0]) / int(words[1]) if len(words) == 2 and words[0].isdigit() else None


def _memory_limit() -> int | None:
    text = _first_line(_CGROUP / "memory.max") or "max"
    return int(text) if text.isdigit() else None


def _governor() -> str | None:
    """Of all CPUs, e.g. performance; several with commas between."""
    found = {_first_line(file) for file in Path(_GOVERNORS).glob("cpu[0-9]*/cpufreq/scaling_governor")} - {None}
    return ", ".join(sorted(name for name in found if name)) or None
