"""How close estimates come: three manifests on the built-in model, each estimated and then rendered, on this machine.

    python benchmarks/estimates.py                # by the clock on the wall: on a machine that does nothing else
    python benchmarks/estimates.py --clock cpu    # by the processor time of the engine's process, which others hardly change

One render comes first, as on any machine: it is calibrated, and gives the cache, which is the benchmark's own, its timings.
It has other prompts, seeds, samplers and steps than what is estimated. Then each manifest is estimated before anything of it
is rendered, and rendered by the same settings, the engine in a process of its own, as by `latentpress render`. Loading is
neither estimated nor counted here. Exit code 1 where an estimate is off by more than 25%.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from latentpress.batch.executors import worker
from latentpress.batch.executors.local import Settings
from latentpress.batch.executors.supervised import SupervisedExecutor
from latentpress.batch.folder import OutputFolder
from latentpress.batch.tally import Silence, Tally
from latentpress.cache.place import cache_dir
from latentpress.engines.devices import device_name
from latentpress.manifest.manifest import read_manifest
from latentpress.models import models_for
from latentpress.runtime import timings

LIMIT = 0.25
CLOCKS = ("wall", "cpu")
HEAD = "version: 1\nmodel: demo\n"
# Enough of one size for a calibration; a few pictures of the others, with a given picture and with a loss.
BEFORE = (
    HEAD
    + """\
defaults: {prompt: an apple, sampler: euler, steps: 10}
jobs:
  - {seed: 500..543, steps: 25}
  - {seed: 500..507, size: 96x64}
  - {seed: 500..507, size: 96x96}
  - {seed: 500..505, size: 96x96, init_image: in.png}
  - {seed: 500..503, loss: {name: channel, every: 3}}
output: "before/{hash:.12}.png"
"""
)
MANIFESTS = {
    "plain: 48 of 64x64, lms 20 steps": HEAD
    + "defaults: {prompt: a red kite, sampler: lms, steps: 20}\nmatrix: {seed: 1..48}\n",
    "mixed: 36 of three sizes, two-call, given pictures, unguided": HEAD
    + """\
defaults: {prompt: an owl, sampler: dpmpp_2m_karras, steps: 20, strength: 0.5}
jobs:
  - {seed: 1..12}
  - {seed: 1..8, size: 96x64, sampler: heun, steps: 10}
  - {seed: 1..8, size: 96x96, init_image: in.png}
  - {seed: 9..16, size: 96x96, guidance_scale: 1}
""",
    "losses: 24 of 64x64, ddim 20 steps, half of them with a loss": HEAD
    + "defaults: {prompt: a fish, sampler: ddim, steps: 20}\n"
    + "matrix:\n  seed: 1..12\n  loss: [none, {name: canny, every: 4}]\n",
}


@dataclass(frozen=True)
class Compared:
    """One manifest's estimate and what it took, in seconds without loading."""

    name: str
    estimate: float
    actual: float

    @property
    def off(self) -> float:
        """How far off the estimate was, as a share of what it took: 0.1 for 10% too much."""
        return self.estimate / self.actual - 1


class Clocked(Silence):
    """Reads a clock as rendering begins and ends; by "cpu" that of the processes that this one started."""

    def __init__(self, clock: str) -> None:
        self._read = _children if clock == "cpu" else time.perf_counter
        self.seconds = 0.0

    def start(self, tally: Tally) -> None:
        """Rendering begins."""
        self.seconds = -self._read()

    def finish(self, tally: Tally) -> None:
        """Rendering ended."""
        self.seconds += self._read()


def compared(
    scratch: Path, clock: str, threads: int | None, say: Callable[[str], None] = lambda line: None
) -> Iterator[Compared]:
    """Each of MANIFESTS, estimated after BEFORE was rendered and those above it, then rendered, in `scratch`.

    say: hears how many rows a call has, and why.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((96, 96), 60).convert("RGB").save(scratch / "in.png")
    _render(scratch, "before", BEFORE, clock, threads, say)
    for number, (name, text) in enumerate(MANIFESTS.items()):
        estimate, actual = _render(scratch, f"m{number}", text, clock, threads, say)
        assert estimate is not None, "nothing was measured before"
        yield Compared(name, estimate, actual)


def _render(
    scratch: Path, name: str, text: str, clock: str, threads: int | None, say: Callable[[str], None]
) -> tuple[float | None, float]:
    """(estimate, what it took) of one manifest."""
    (scratch / f"{name}.yaml").write_text(text)
    manifest = read_manifest(scratch / f"{name}.yaml")
    models = models_for(manifest, cache_dir())
    folder = OutputFolder(manifest, scratch / name, cache=scratch / "cache", models=models)
    settings, clocked = Settings(threads=threads), Clocked(clock)
    found = folder.prospect(folder.status(), settings)
    command = (sys.executable, "-P", __file__, "worker") if clock == "cpu" else None
    executor = SupervisedExecutor(models.by_hash, settings, scratch / "cache", say, command)
    try:
        outcome = folder.render(settings, executor=executor, progress=clocked)
    finally:
        executor.close()
    assert not outcome.summary.failed, "a picture failed"
    return found.time.seconds, clocked.seconds


def _say(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


def _children() -> float:
    """The processor time of the processes that this one started and that live, in seconds."""
    ticks = 0
    for thread in Path("/proc/self/task").iterdir():
        for pid in (thread / "children").read_text().split():
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Print the table; 1 where an estimate is off by more than LIMIT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--threads", type=int, help="of the engine; by default all cores, and with --clock cpu one")
    parser.add_argument("--repeats", type=int, default=1, help="each in a cache of its own")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    # Threads that wait for one another do so by spinning, which is processor time and no work.
    threads = options.threads or (1 if options.clock == "cpu" else None)
    print(f"{device_name()}, {options.clock} time, {threads or os.cpu_count()} threads\n")
    print("| manifest | estimate | took | off by |\n|---|--:|--:|--:|")
    found: list[Compared] = []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as scratch:
            for one in compared(Path(scratch), options.clock, threads, _say):
                print(f"| {one.name} | {one.estimate:.1f} s | {one.actual:.1f} s | {one.off:+.0%} |", flush=True)
                found.append(one)
    if options.json:
        options.json.write_text(json.dumps([vars(one) | {"off": one.off} for one in found], indent=2))
    return int(any(abs(one.off) > LIMIT for one in found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:  # the engine's process, whose timings are processor time
        timings.clock = time.process_time
        worker.main(sys.argv[2:])
    sys.exit(main())
