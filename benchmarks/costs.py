"""CPU time and memory of Python code in a process of its own, and the table of them, for million.py and resume.py."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

# Runs code, then tells on a file descriptor what it took: CPU time with that of its children, and VmHWM in KiB.
_CHILD = """
import os, re, sys
code = 0
try:
{code}
except SystemExit as stop:
    code = stop.code or 0
sys.stdout.flush()
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
os.write(int(os.environ["TOLD"]), f"{{sum(os.times()[:4])}} {{peak}}".encode())
os._exit(code)
"""


@dataclass(frozen=True)
class Cost:
    """What a command took on so many jobs of a source: seconds of CPU, and bytes."""

    source: str
    jobs: int
    command: str
    cpu: float
    peak: int

    @property
    def row(self) -> str:
        """A row of the table."""
        each = self.cpu / self.jobs * 1e6
        numbers = f"{self.cpu:.1f} | {each:.1f} | {self.peak / 2**20:.0f}"
        return f"| {self.source} | {self.jobs:,} | {self.command} | {numbers} |"


HEAD = "| manifest | jobs | command | CPU s | us a job | MiB |\n|---|--:|---|--:|--:|--:|"


def measured(code: str, arguments: Sequence[str], folder: Path) -> tuple[float, int]:
    """CPU seconds and bytes of `code`, run in `folder` with these arguments as sys.argv[1:]; what it prints goes nowhere.

    Raises CalledProcessError where it fails.
    """
    read, write = os.pipe()
    told = environment() | {"TOLD": str(write)}
    command = [sys.executable, "-c", _CHILD.format(code=indent(code.strip(), "    ")), *arguments]
    with Path(os.devnull).open("w") as nowhere:
        subprocess.run(command, cwd=folder, env=told, pass_fds=[write], stdout=nowhere, check=True)
    os.close(write)
    with os.fdopen(read) as stream:
        cpu, peak = stream.read().split()
    return float(cpu), int(peak) << 10


def environment() -> dict[str, str]:
    """That of the processes: one thread, and these files importable."""
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
