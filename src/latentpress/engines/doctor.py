"""Looks at the machine: its devices, the packages installed, and so which engines can run. Opens no graph."""

import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from latentpress.engines import table
from latentpress.engines.devices import Machine, cpu_has_bf16, cpu_name, gpus
from latentpress.engines.engine import Finding


@dataclass(frozen=True)
class Report:
    """machine: what there is, in words; engines: a finding each."""

    machine: dict[str, str]
    engines: list[Finding]

    def data(self) -> dict[str, object]:
        """For JSON."""
        return {"machine": self.machine, "engines": [asdict(finding) for finding in self.engines]}


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
    """What each engine finds, `openvino:bf16` and building for tensorrt-rtx without a GPU included."""
    return [finding for engine in table.ENGINES for finding in engine.found(machine)]


def _packages() -> dict[str, str]:
    found: dict[str, str] = {}
    looked_for = (engine.packages if engine.looked_for is None else engine.looked_for for engine in table.ENGINES)
    for name in dict.fromkeys(("torch", *(name for names in looked_for for name in names))):
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
