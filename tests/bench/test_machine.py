"""What the machine did while something was measured, with an NVML that is played."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from latentpress.bench.conditions import conditions
from latentpress.bench.machine import watched
from latentpress.bench.nvml import GpuWatcher
from played_nvml import played_nvml


def test_a_machine_that_others_use_is_called_busy():
    """Two processes for each CPU that this one may use count without end, while this one works too."""
    work = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(work) for _ in range(2 * len(os.sched_getaffinity(0)))]
    try:
        with watched() as state:
            end = time.perf_counter() + 1.2
            while time.perf_counter() < end:
                sum(range(1000))
            seen = state()
    finally:
        for process in others:
            process.kill()
            process.wait()
    assert seen.others > 0.3
    assert any(why.startswith("other programs took") for why in seen.busy)
    assert 0 < seen.available < psutil.virtual_memory().total
    assert seen.gpu is None


def test_conditions_are_those_of_this_process(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("HOME_OF_SECRETS", "no")
    found = conditions(["latentpress", "bench", "demo"])
    assert found.command == ["latentpress", "bench", "demo"]
    assert found.variables["OMP_NUM_THREADS"] == "3"
    assert "HOME_OF_SECRETS" not in found.variables
    assert found.cpus == len(os.sched_getaffinity(0)) <= found.all_cpus
    assert found.memory == psutil.virtual_memory().total


def test_a_gpus_clock_heat_and_energy_are_told():
    seen = GpuWatcher(played_nvml()).look()
    assert (seen.name, seen.clock, seen.most_clock, seen.temperature) == ("GPU 0", 1200, 1980, 71)
    assert (seen.joules, seen.throttled, seen.persistent, seen.memory) == (300, ["power limit"], True, 5 << 30)


def test_what_a_gpu_does_not_tell_is_none():
    seen = GpuWatcher(
        played_nvml(nvmlDeviceGetTotalEnergyConsumption="refused", nvmlDeviceGetClockInfo="refused")
    ).look()
    assert (seen.joules, seen.clock) == (None, None)
    assert seen.temperature == 71


@pytest.mark.parametrize(("variable", "name"), [("3", "GPU 3"), ("GPU-8d1e", "GPU GPU-8d1e"), ("", "GPU 0")])
def test_the_gpu_is_the_one_that_cuda_calls_the_first(variable, name, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert GpuWatcher(played_nvml()).look().name == name


def test_a_throttled_gpu_makes_a_busy_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", played_nvml())
    with watched(gpu=True) as state:
        assert "the GPU's clock was held down: power limit" in state().busy
