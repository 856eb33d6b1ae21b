"""How much of the CPU time that this process asked for went to other programs, while something was measured.

Linux tells of each thread how long it ran and how long it waited for a CPU (/proc/PID/task/TID/schedstat), and of each CPU
how long it worked and how much of its time the machine's host took (/proc/stat). Threads wait for one another too, where an
engine has more of them than there are CPUs; what other programs ran bounds what they can have taken.
"""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Above this share of the CPU time that was asked for, a measurement tells of the other programs too.
BUSY = 0.1

_PROC = Path("/proc")
_STEAL = 7  # of a CPU's times: user, nice, system, idle, iowait, irq, softirq, steal
_WORKING = (0, 1, 2, 5, 6)


@dataclass(frozen=True)
class _Seconds:
    """ran, waited: this process' threads; working, stolen: the CPUs that it may use."""

    ran: float
    waited: float
    working: float
    stolen: float


def watch() -> Callable[[], float | None]:
    """Begin to look; what is returned gives the share, 0..1, that others took since, None where the system does not tell."""
    before = _now()

    def share() -> float | None:
        after = _now()
        if before is None or after is None:
            return None
        ran = after.ran - before.ran
        others = max(0.0, after.working - before.working - ran)
        taken = min(max(0.0, after.waited - before.waited), others) + max(0.0, after.stolen - before.stolen)
        return taken / (ran + taken) if ran + taken > 0 else 0.0

    return share


def today() -> str:
    """The time in UTC, to the minute, as ISO 8601 has it."""
    return time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime())


def _now() -> _Seconds | None:
    try:
        ran = waited = 0
        for task in (_PROC / "self" / "task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                times = (task / "schedstat").read_text().split()
                ran, waited = ran + int(times[0]), waited + int(times[1])
        own = {f"cpu{index}" for index in os.sched_getaffinity(0)}
        lines = [line.split() for line in (_PROC / "stat").read_text().splitlines() if line.startswith("cpu")]
        cpus = [[int(value) for value in line[1:]] for line in lines if line[0] in own]
        tick = os.sysconf("SC_CLK_TCK")
        working = sum(cpu[index] for cpu in cpus for index in _WORKING) / tick
        stolen = sum(cpu[_STEAL] for cpu in cpus) / tick
    except (OSError, ValueError, IndexError, AttributeError):
        return None
    return _Seconds(ran / 1e9, waited / 1e9, working, stolen) if cpus and ran else None
