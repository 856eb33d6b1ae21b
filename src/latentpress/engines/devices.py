"""What this machine has to compute with: its NVIDIA GPUs, as nvidia-smi lists them, and its CPU's bfloat16 units."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from latentpress.errors import EnvironmentFailure, UsageError

_QUERY = ["--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"]
_TARGET = re.compile(r"sm_?(\d{2,3})")
# Instruction sets that multiply bfloat16 numbers, by their names in /proc/cpuinfo.
_BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")


@dataclass(frozen=True)
class Gpu:
    """name: e.g. NVIDIA H200; compute_capability: e.g. (9, 0); driver: its version, e.g. 580.65.06."""

    name: str
    compute_capability: tuple[int, int]
    driver: str

    @property
    def target(self) -> str:
        """sm90 and so on: what engines are built for."""
        return "sm" + "".join(map(str, self.compute_capability))


@dataclass(frozen=True)
class Machine:
    """What findings are drawn from. packages: distribution -> version; providers: ONNX Runtime's; cuda: torch's version."""

    packages: Mapping[str, str]
    providers: Sequence[str]
    gpus: Sequence[Gpu]
    cuda: str | None
    bf16: bool


def gpus() -> list[Gpu]:
    """The NVIDIA GPUs this process may use, in the driver's order or CUDA_VISIBLE_DEVICES'; none without a driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        found = subprocess.run([program, *_QUERY], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return visible(parse_gpus(found.stdout), os.environ.get("CUDA_VISIBLE_DEVICES"))


def visible(found: list[Gpu], variable: str | None) -> list[Gpu]:
    """Those of `found` that CUDA_VISIBLE_DEVICES names by number, in its order, up to the first that is none, as CUDA does.

    None, or names of another form (a GPU's UUID), leave them as they are.
    """
    words = [] if variable is None else [word.strip() for word in variable.split(",")]
    if variable is None or not all(re.fullmatch(r"-?\d*", word) for word in words):
        return found
    chosen: list[Gpu] = []
    for word in words:
        if not word.isdigit() or int(word) >= len(found):
            break
        chosen.append(found[int(word)])
    return chosen


def parse_gpus(text: str) -> list[Gpu]:
    """Read `name, compute capability, driver` lines; lines of another form (a GPU that failed) are left out."""
    found: list[Gpu] = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.rsplit(",", 2)]
        if len(fields) == 3 and re.fullmatch(r"\d+\.\d+", fields[1]):
            major, minor = fields[1].split(".")
            found.append(Gpu(fields[0], (int(major), int(minor)), fields[2]))
    return found


def require_gpu(engine: str) -> Gpu:
    """The first GPU; raises EnvironmentFailure where there is none."""
    found = gpus()
    if not found:
        raise EnvironmentFailure(
            f"engine {engine}: nvidia-smi lists no NVIDIA GPU on this machine; render there, or use --engine cpu"
        )
    return found[0]


def parse_target(text: str) -> tuple[int, int]:
    """`sm89` -> (8, 9); raises UsageError for anything else."""
    match = _TARGET.fullmatch(text)
    if match is None:
        raise UsageError(f"--device {text}: must be a GPU's architecture, e.g. sm86, sm89 or sm120")
    digits = match.group(1)
    return int(digits[:-1]), int(digits[-1])


def cpu_has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU multiplies bfloat16 numbers in hardware."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    flags = {flag for line in text.splitlines() if line.startswith(("flags", "Features")) for flag in line.split()}
    return any(flag in flags for flag in _BF16_FLAGS)


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The CPU's name, for a record of what was measured where."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def device_name(*, gpu: bool = False) -> str:
    """The GPU's name as its driver tells it, or the processor's and the number of CPUs this process may use."""
    if gpu:
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else "GPU"
    return f"{cpu_name()}, {cpu_count()} CPUs"


def cpu_count() -> int:
    """CPUs this process may use, which a container or taskset may have limited."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
