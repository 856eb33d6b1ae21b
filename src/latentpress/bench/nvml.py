"""One NVIDIA GPU as NVML shows it. The binding (nvidia-ml-py's `pynvml`) is handed in, so that a test can play it."""

import contextlib
import os
from dataclasses import dataclass, field
from typing import Any

# NVML's reasons for a clock below what was asked for, by the end of their names, without those of a GPU with nothing to do.
_REASONS = {
    "SwPowerCap": "power limit",
    "HwSlowdown": "hardware slowdown",
    "SwThermalSlowdown": "heat",
    "HwThermalSlowdown": "heat (hardware)",
    "HwPowerBrakeSlowdown": "power brake",
    "SyncBoost": "sync boost",
    "ApplicationsClocksSetting": "clocks set by the administrator",
}


@dataclass(frozen=True)
class GpuState:
    """One NVIDIA GPU while it was watched, by NVML.

    clock: MHz of its multiprocessors, median; most_clock: the highest it may have; temperature: degrees C, highest; joules:
    it took in all; throttled: why its clock was held down; persistent: whether its driver stays loaded; memory: bytes in
    use at most, by all processes.
    """

    name: str
    clock: float | None = None
    most_clock: float | None = None
    temperature: float | None = None
    joules: float | None = None
    throttled: list[str] = field(default_factory=list[str])
    persistent: bool | None = None
    memory: int | None = None


class GpuWatcher:
    """Looks at one GPU. nvml: the module `pynvml`; index: among those that this process may use.

    Raises nvml.NVMLError where there is no driver or no such GPU.
    """

    def __init__(self, nvml: Any, index: int = 0) -> None:
        self._nvml = nvml
        nvml.nvmlInit()
        self._gpu = _handle(nvml, index)
        name = nvml.nvmlDeviceGetName(self._gpu)
        self._name = name.decode() if isinstance(name, bytes) else str(name)
        self._clocks: list[float] = []
        self._heat: list[float] = []
        self._memory: list[int] = []
        self._throttled: dict[str, None] = {}
        self._joules = self._energy()

    def look(self) -> GpuState:
        """Look once, and say what was seen so far."""
        nvml, gpu = self._nvml, self._gpu
        with contextlib.suppress(nvml.NVMLError):
            self._clocks.append(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM))
        with contextlib.suppress(nvml.NVMLError):
            self._heat.append(nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU))
        with contextlib.suppress(nvml.NVMLError):
            self._memory.append(nvml.nvmlDeviceGetMemoryInfo(gpu).used)
        with contextlib.suppress(nvml.NVMLError):
            reasons = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)
            for name, why in _REASONS.items():
                for prefix in ("nvmlClocksThrottleReason", "nvmlClocksEventReason"):
                    if reasons & getattr(nvml, prefix + name, 0):
                        self._throttled[why] = None
        clocks, joules = sorted(self._clocks), self._energy()
        return GpuState(
            name=self._name,
            clock=clocks[len(clocks) // 2] if clocks else None,
            most_clock=self._asked("nvmlDeviceGetMaxClockInfo", nvml.NVML_CLOCK_SM),
            temperature=max(self._heat, default=None),
            joules=None if joules is None or self._joules is None else joules - self._joules,
            throttled=list(self._throttled),
            persistent=_truth(self._asked("nvmlDeviceGetPersistenceMode")),
            memory=max(self._memory, default=None),
        )

    def _energy(self) -> float | None:
        """Joules since the driver was loaded."""
        found = self._asked("nvmlDeviceGetTotalEnergyConsumption")
        return None if found is None else found / 1000

    def _asked(self, function: str, *more: Any) -> Any:
        with contextlib.suppress(self._nvml.NVMLError):
            return getattr(self._nvml, function)(self._gpu, *more)
        return None


def _truth(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _handle(nvml: Any, index: int) -> Any:
    """The GPU that CUDA calls `index`: CUDA_VISIBLE_DEVICES names it by number or by UUID; NVML counts all of them."""
    names = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    name = names[index] if index < len(names) else str(index)
    return nvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else nvml.nvmlDeviceGetHandleByUUID(name)
