"""How long it takes from a command to its first picture, taken apart, in a process of its own that has loaded nothing.

The files are in the system's cache, as they are where the same bundle was rendered before; after a restart reading them from
the disk comes on top.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass

from latentpress.bench.jobs import Work
from latentpress.errors import EnvironmentFailure


@dataclass(frozen=True)
class ColdStart:
    """Seconds, one after the other; `process`: until Python runs the program; imports: of what renders; bundle: reading and
    checking it; engines: opening them, what they tune included; calibration: finding the rows of a call, which a cache
    remembers; picture: the first one, from its prompt to its pixels; whole: all of them."""

    process: float
    imports: float
    bundle: float
    engines: float
    calibration: float
    picture: float
    whole: float


def cold_start(bundle: str, engine: str, threads: int | None, work: Work) -> ColdStart:
    """Measure it once; raises EnvironmentFailure where the process fails."""
    size, guidance = f"{work.width}x{work.height}", f"{work.guidance_scale!r}"
    arguments = [bundle, engine, str(threads or 0), size, work.sampler, str(work.steps), guidance]
    started = time.time()
    command = [sys.executable, "-P", "-m", "latentpress.bench.cold_process", *arguments, repr(started)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise EnvironmentFailure(f"the process whose start was measured failed: {last[:300]}")
    return ColdStart(**json.loads(ended.stdout.splitlines()[-1]))
