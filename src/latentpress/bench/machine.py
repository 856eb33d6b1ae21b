"""What else the machine does while something is measured: load, other programs, clocks, heat, memory, and a GPU's state.

Everything is read from the system (psutil, NVML where nvidia-ml-py is installed) and is None where it does not tell.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from latentpress.bench.nvml import GpuState, GpuWatcher
from latentpress.engines.devices import cpu_count
from latentpress.runtime.busy import BUSY, watch

# Seconds between two looks at clocks and heat.
_EVERY = 0.5
# Of the CPUs: a load from before that leaves less than this free is another program's.
_LOADED = 0.25
_MICROJOULES = 1e6


@dataclass(frozen=True)
class MachineState:
    """What the machine did while something was measured.

    load: of the last minute, before; others: the share of the CPU time that other programs and the machine's host took
    meanwhile, 0..1; clock: MHz of the CPU, (least, median, most); temperature: degrees C, highest; available: bytes of
    memory that were free at least; swapped: bytes read back from disk; joules: the CPU took, by RAPL; gpu: None without
    one; busy: why figures of this run tell of other programs too, empty on a quiet machine.
    """

    load: float
    others: float | None
    clock: tuple[float, float, float] | None
    temperature: float | None
    available: int
    swapped: int
    joules: float | None
    gpu: GpuState | None
    busy: list[str]


@contextlib.contextmanager
def watched(*, gpu: bool = False) -> Generator[Callable[[], MachineState]]:
    """Watch the machine while the block runs; what is given says, within it or after, what was seen so far."""
    watcher = _Watcher(_gpu_state() if gpu else None)
    thread = threading.Thread(target=watcher.look, daemon=True, name="machine")
    thread.start()
    try:
        yield watcher.state
    finally:
        watcher.over.set()
        thread.join()


class _Watcher:
    def __init__(self, gpu: Callable[[], GpuState] | None) -> None:
        self.over = threading.Event()
        self._load, self._others = os.getloadavg()[0], watch()
        self._swapped, self._joules = _swapped(), _joules()
        self._clocks: list[float] = []
        self._heat: list[float] = []
        self._available = [psutil.virtual_memory().available]
        self._gpu = gpu

    def look(self) -> None:
        """Look every half second until it is over."""
        while True:
            self._clocks += _clock()
            self._heat += _temperatures()
            self._available.append(psutil.virtual_memory().available)
            if self._gpu is not None:
                self._gpu()
            if self.over.wait(_EVERY):
                return

    def state(self) -> MachineState:
        """What was seen so far."""
        others, swapped = self._others(), _swapped() - self._swapped
        before, after = self._joules, _joules()
        clocks = sorted(self._clocks)
        state = MachineState(
            load=self._load,
            others=others,
            clock=(clocks[0], clocks[len(clocks) // 2], clocks[-1]) if clocks else None,
            temperature=max(self._heat, default=None),
            available=min(self._available),
            swapped=swapped,
            joules=None if before is None or after is None or after < before else after - before,
            gpu=None if self._gpu is None else self._gpu(),
            busy=[],
        )
        state.busy.extend(_busy(state))
        return state


def _busy(state: MachineState) -> Iterator[str]:
    if state.load > _LOADED * cpu_count():
        yield f"the load was {state.load:.2f} before it began"
    if state.others is not None and state.others > BUSY:
        yield f"other programs took {state.others:.0%} of the CPU time"
    if state.swapped:
        yield f"{state.swapped / 1e6:.0f} MB were read back from swap"
    if state.clock is not None and state.clock[0] < 0.8 * state.clock[2]:
        yield f"the CPU's clock went from {state.clock[2]:.0f} down to {state.clock[0]:.0f} MHz"
    if state.gpu is not None and state.gpu.throttled:
        yield f"the GPU's clock was held down: {', '.join(state.gpu.throttled)}"


def _clock() -> list[float]:
    """MHz of each CPU that this process may use; a virtual machine tells the maker's figure, or none."""
    with contextlib.suppress(OSError, NotImplementedError, AttributeError):
        return [one.current for one in psutil.cpu_freq(percpu=True) if one.current]
    return []


def _temperatures() -> list[float]:
    with contextlib.suppress(OSError, AttributeError):
        return [one.current for ones in psutil.sensors_temperatures().values() for one in ones]
    return []


def _swapped() -> int:
    try:
        return psutil.swap_memory().sin
    except (OSError, RuntimeError):  # a container without /proc/vmstat
        return 0


def _joules() -> float | None:
    """What the CPU packages took since they began to count, by Intel's and AMD's RAPL; None where it may not be read."""
    try:
        counters = [zone / "energy_uj" for zone in Path("/sys/class/powercap").glob("intel-rapl:?")]
        return sum(int(counter.read_text()) for counter in counters) / _MICROJOULES if counters else None
    except (OSError, ValueError):
        return None


def _gpu_state() -> Callable[[], GpuState] | None:
    """A function that looks at the first visible GPU and says what was seen so far; None where NVML is not there."""
    try:
        import pynvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    nvml: Any = pynvml
    try:
        return GpuWatcher(nvml).look
    except nvml.NVMLError:
        return None
