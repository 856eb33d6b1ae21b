"""CPU time that a job costs a render beside the engine: reading, planning, metadata, files and ledger.

    python benchmarks/beside_engine.py [--jobs 20000] [--scratch DIR]

Every prompt has twelve words, each its own. The engine is one that gives the same picture to each. Pictures are
written once in the thread of the engine, which is the work itself, and once in threads of their own as a render does it,
where waking these comes on top. Encoding PNGs and syncing files are told apart. By default the files lie in memory, where
there is such a folder.
"""

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from latentpress.batch import writers
from latentpress.batch.folder import OutputFolder
from latentpress.cache.place import cache_dir
from latentpress.manifest.manifest import read_manifest
from latentpress.models import Models, facts_of, named_bundle
from latentpress.runtime.request import Origin, Rendered, RenderRequest

MEMORY = Path("/dev/shm")
TEXT = "a red kite old house over the sea by night in glass and steel blue green robots photo of mountain river"
WORDS = TEXT.split()


@dataclass(frozen=True)
class Cost:
    """Seconds of CPU of one job: of everything, of encoding PNGs, of syncing."""

    whole: float
    png: float
    sync: float

    @property
    def rest(self) -> float:
        """What is neither PNG nor fsync; there is no engine."""
        return self.whole - self.png - self.sync


class Still:
    """An executor that gives each request the same picture."""

    def open(self, bundle: str, requests: Iterable[RenderRequest]) -> str:
        """Nothing to make ready."""
        return "any"

    def render(self, requests: Iterable[tuple[Any, RenderRequest]]) -> Iterator[Rendered[Any]]:
        """Each request's key and the picture."""
        image, origin = np.zeros((64, 64, 3), np.uint8), Origin("still", 8, "any")
        for key, _ in requests:
            yield Rendered(key, image, None, 0.0, origin)


def main() -> None:
    """Measure, then print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--scratch", type=Path, default=MEMORY if MEMORY.is_dir() else None)
    options = parser.parse_args()
    print(f"{options.jobs:,} jobs, ms of CPU a job")
    for threads in (False, True):
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            cost = measured(options.jobs, Path(scratch), cache_dir(), threads=threads)
        numbers = f"PNG {cost.png * 1e3:.3f}, fsync {cost.sync * 1e3:.3f}, all else {cost.rest * 1e3:.3f}"
        print(f"{'threads that write' if threads else 'one thread':<20}{numbers}")


def measured(jobs: int, scratch: Path, cache: Path, *, threads: bool = False) -> Cost:
    """The cost of a render of so many jobs into an empty folder; the built-in bundle lies in `cache`."""
    draw = random.Random(1)
    rows = [
        {"id": f"j{n}", "model": "demo", "prompt": " ".join(draw.choices(WORDS, k=12)), "seed": n} for n in range(jobs)
    ]
    (scratch / "jobs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    facts = facts_of({"demo": named_bundle("demo", cache, verify=False)})
    put = writers.Writers.put if threads else writers.Writers._record
    with (
        timed(writers, "picture_bytes") as png,
        timed(os, "fsync") as sync,
        mock.patch.object(writers.Writers, "put", put),
    ):
        before = time.process_time()
        folder = OutputFolder(read_manifest(scratch / "jobs.jsonl"), scratch / "out", models=Models({}, facts))
        done = folder.render(executor=Still()).summary.done
        whole = time.process_time() - before
    assert done == jobs, f"{done} of {jobs} jobs were rendered"
    return Cost(whole / jobs, sum(png) / jobs, sum(sync) / jobs)


@contextmanager
def timed(where: Any, name: str) -> Iterator[list[float]]:
    """Seconds of its thread's CPU of each call of a function within the block."""
    took: list[float] = []
    function: Callable[..., Any] = getattr(where, name)

    def call(*arguments: Any, **named: Any) -> Any:
        before = time.thread_time()
        try:
            return function(*arguments, **named)
        finally:
            took.append(time.thread_time() - before)

    with mock.patch.object(where, name, call):
        yield took


if __name__ == "__main__":
    main()
