"""An NVML that is played: a GPU with a clock, heat and energy, for machines that have none."""

from types import SimpleNamespace


class NVMLError(Exception):
    """As pynvml has it."""


def played_nvml(**changed):
    """A GPU at 1,200 of 1,980 MHz, held down by its power limit, which takes 300 joules between two looks."""
    energy = iter(range(1_000_000, 10_000_000, 300_000))

    def refused(*_):
        raise NVMLError

    functions = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetHandleByUUID": lambda name: name,
        "nvmlDeviceGetName": lambda gpu: f"GPU {gpu}".encode(),
        "nvmlDeviceGetClockInfo": lambda gpu, kind: 1200,
        "nvmlDeviceGetMaxClockInfo": lambda gpu, kind: 1980,
        "nvmlDeviceGetTemperature": lambda gpu, kind: 71,
        "nvmlDeviceGetMemoryInfo": lambda gpu: SimpleNamespace(used=5 << 30),
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda gpu: 4,
        "nvmlDeviceGetTotalEnergyConsumption": lambda gpu: next(energy),
        "nvmlDeviceGetPersistenceMode": lambda gpu: 1,
        "nvmlClocksThrottleReasonSwPowerCap": 4,
        "nvmlClocksThrottleReasonHwSlowdown": 8,
        "NVML_CLOCK_SM": 1,
        "NVML_TEMPERATURE_GPU": 0,
        "NVMLError": NVMLError,
    }
    return SimpleNamespace(**functions | {name: refused for name, how in changed.items() if how == "refused"})
