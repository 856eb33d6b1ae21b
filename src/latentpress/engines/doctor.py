"""Looks at the machine: its devices, the packages installed, and so which engines can run. Opens no graph."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from latentpress.engines.devices import Gpu, cpu_has_bf16, cpu_name, gpus
from latentpress.engines.tensorrt_rtx import TARGETS

_CPU, _GPU = "pip install 'latentpress[cpu]'", "pip uninstall onnxruntime; pip install 'latentpress[gpu]'"


@dataclass(frozen=True)
class Finding:
    """One engine: whether it can run here, why or why not, and the command that would add what is missing, if one can."""

    engine: str
    ready: bool
    why: str
    install: str | None = None


@dataclass(frozen=True)
class Machine:
    """What findings are drawn from. packages: distribution -> version; providers: ONNX Runtime's; cuda: torch's version."""

    packages: Mapping[str, str]
    providers: Sequence[str]
    gpus: Sequence[Gpu]
    cuda: str | None
    bf16: bool


@dataclass(frozen=True)
class Report:
    """machine: what there is, in words; engines: a finding each."""

    machine: dict[str, str]
    engines: list[Finding]

    def data(self) -> dict[str, object]:
        """For JSON."""
        return {"machine": self.machine, "engines": [asdict(finding) for finding in self.engines]}


_DISTRIBUTIONS = (
    "torch",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt-cu13",
    "tensorrt-cu12",
    "tensorrt",
    "onnxruntime-ep-nv-tensorrt-rtx-cu13",
    "tensorrt-rtx-cu13-bindings",
)


def examine() -> Report:
    """Look at this machine."""
    machine = Machine(_packages(), _providers(), gpus(), _cuda(), cpu_has_bf16())
    shown = {
        "cpu": f"{cpu_name()}, bfloat16 {'yes' if machine.bf16 else 'no'}",
        "gpu": ", ".join(f"{gpu.name} ({gpu.target}, driver {gpu.driver})" for gpu in machine.gpus) or "none",
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {number}" for name, number in machine.packages.items()),
    }
    return Report(shown, findings(machine))


def findings(machine: Machine) -> list[Finding]:
    """One finding for each engine, `openvino:bf16` and building for tensorrt-rtx without a GPU included."""
    rules: list[Callable[[Machine], Finding]] = [
        _cpu,
        _openvino,
        _openvino_bf16,
        _cuda_engine,
        _tensorrt,
        _rtx,
        _rtx_build,
    ]
    return [rule(machine) for rule in rules]


def _cpu(machine: Machine) -> Finding:
    if machine.providers:
        return Finding("cpu", True, "ONNX Runtime's CPU provider")
    return Finding("cpu", False, "ONNX Runtime is not installed", _CPU)


def _openvino(machine: Machine) -> Finding:
    if "openvino" in machine.packages:
        return Finding("openvino", True, f"OpenVINO {machine.packages['openvino']} on the CPU, float32")
    return Finding("openvino", False, "OpenVINO is not installed", "pip install 'latentpress[openvino]'")


def _openvino_bf16(machine: Machine) -> Finding:
    plain = _openvino(machine)
    if not machine.bf16:
        return Finding("openvino:bf16", False, "this CPU has no bfloat16 units (avx512_bf16 or amx_bf16)")
    return Finding(
        "openvino:bf16", plain.ready, "bfloat16 units in the CPU" if plain.ready else plain.why, plain.install
    )


def _cuda_engine(machine: Machine) -> Finding:
    if not machine.gpus:
        return Finding("cuda", False, "no NVIDIA GPU")
    if "CUDAExecutionProvider" not in machine.providers:
        return Finding("cuda", False, "ONNX Runtime has no CUDA provider", _GPU)
    if machine.cuda is None:
        return Finding("cuda", False, "torch is a build without CUDA, and the buffers are torch's", "pip install torch")
    return Finding("cuda", True, f"{machine.gpus[0].name}")


def _tensorrt(machine: Machine) -> Finding:
    below = _cuda_engine(machine)
    if not below.ready:
        return Finding("tensorrt", False, below.why, below.install)
    if not any(name in machine.packages for name in ("tensorrt", "tensorrt-cu12", "tensorrt-cu13")):
        return Finding("tensorrt", False, "TensorRT is not installed", "pip install 'latentpress[tensorrt]'")
    return Finding("tensorrt", True, f"{machine.gpus[0].name}; engines are built here, once")


def _rtx(machine: Machine) -> Finding:
    if not machine.gpus:
        return Finding("tensorrt-rtx", False, "no NVIDIA GPU")
    if machine.gpus[0].target not in TARGETS:
        return Finding(
            "tensorrt-rtx",
            False,
            f"{machine.gpus[0].name} is {machine.gpus[0].target}; served are {', '.join(TARGETS)}",
        )
    if not any(name.startswith("onnxruntime-ep-nv-tensorrt-rtx") for name in machine.packages):
        return Finding("tensorrt-rtx", False, "the plug-in is not installed", "pip install 'latentpress[tensorrt-rtx]'")
    return Finding("tensorrt-rtx", True, machine.gpus[0].name)


def _rtx_build(machine: Machine) -> Finding:
    name = "tensorrt-rtx (build only)"
    if {"onnxruntime-ep-nv-tensorrt-rtx-cu13", "tensorrt-rtx-cu13-bindings"} <= machine.packages.keys():
        return Finding(name, True, "engines can be built here for any RTX card: --device sm86, sm89, sm120")
    return Finding(name, False, "the builder is not installed", "pip install 'latentpress[tensorrt-rtx]'")


def _packages() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _providers() -> list[str]:
    if find_spec("onnxruntime") is None:
        return []
    import onnxruntime

    return list(onnxruntime.get_available_providers())


def _cuda() -> str | None:
    if find_spec("torch") is None:
        return None
    import torch

    return torch.version.cuda
