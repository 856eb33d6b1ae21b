"""How long each part of rendering takes on this machine: measured in every render, and kept in the cache for estimates.

Knows no plan and no engine. What is measured: `turn`, one UNet call with all that belongs to it, by its rows; `gradient`, a
loss's; `decode`, a picture; `begin` and `read`, what comes before a picture's first step, without and with a given picture;
`between`, what the receiver of a picture keeps the engines waiting; `load`, opening the engines; `guidance`, opening what
guides by losses; `call`, a UNet call alone, as calibration times it; `bucket`, no time, but the rows a call was to have.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from latentpress.bundle.info import Bundle
from latentpress.engines.devices import cpu_count, cpu_name, gpus
from latentpress.engines.engine import EngineChoice
from latentpress.files import read_regular, write_durably

# Occasions that earlier runs count for at most beside those of the newest one, so that a machine's new pace soon shows.
_EARLIER = 200
_MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class Measured:
    """A part of rendering: of which pictures, and, where that matters, with how many rows a call.

    height, width: in pixels, 0 where they do not matter; chunks: of the prompts.
    """

    part: str
    height: int = 0
    width: int = 0
    chunks: int = 1
    rows: int = 0

    @property
    def name(self) -> str:
        """As the file has it."""
        return f"{self.part} {self.width}x{self.height} {self.chunks} {self.rows}"


# What the time is read from: a benchmark on a busy machine takes the process' own instead (benchmarks/estimates.py).
clock: Callable[[], float] = time.perf_counter

# What was measured -> (how often, seconds in all).
Timings = dict[Measured, tuple[float, float]]


class Span:
    """A stretch of time; `own` is its seconds without those of spans within it."""

    own = 0.0


class Stopwatch:
    """Adds up the parts of one render, in one thread. A span within another counts for itself alone."""

    def __init__(self) -> None:
        self._within = 0.0
        self.found: Timings = {}

    @contextlib.contextmanager
    def span(self) -> Generator[Span]:
        """A span, which is over when the block is; nothing may be yielded to others within it."""
        span, outer = Span(), self._within
        self._within, started = 0.0, clock()
        try:
            yield span
        finally:
            took = clock() - started
            span.own = max(0.0, took - self._within)
            self._within = outer + took

    @contextlib.contextmanager
    def measure(self, what: Measured, count: int = 1) -> Generator[None]:
        """A span whose seconds are those of `what`."""
        with self.span() as span:
            yield
        self.add(what, span.own, count)

    def taken(self) -> Timings:
        """All that was added up; it begins anew."""
        found, self.found = self.found, {}
        return found

    def add(self, what: Measured, seconds: float, count: int = 1) -> None:
        """Note that `count` of `what` took so long in all."""
        before = self.found.get(what, (0.0, 0.0))
        self.found[what] = (before[0] + count, before[1] + seconds)


def timings_file(cache: Path) -> Path:
    """Where a machine's timings are kept in its cache folder."""
    return cache / "timings.json"


def timings_key(bundle: Bundle, engine: EngineChoice, threads: int | None) -> str:
    """What timings hold for: an architecture, which fine-tunes of one model share, an engine, and this machine.

    The size of the UNet's files stands for the architecture within its family and precision.
    """
    info = bundle.info
    unet = sum(_size(bundle.file(name)) for name in info.files if name.startswith(f"{info.denoiser.name}."))
    device = next((gpu.name for gpu in gpus()), "GPU") if engine.kind.on_gpu else f"{cpu_name()}, {cpu_count()} CPUs"
    return (
        f"{info.family} {info.precision} {info.flavour} {unet} {engine.stored} "
        f"threads={threads or cpu_count()} {sys.platform} {device}"
    )


def recalled_timings(file: Path, key: str) -> Timings:
    """What is known under `key`; nothing where the file is missing or no such file."""
    return _read(file).get(key, {})


def remember_timings(file: Path, found: Mapping[str, Timings]) -> None:
    """Add what a render measured (key -> timings) to the file; a cache that cannot be written is left as it is."""
    kept = _read(file)
    for key, timings in found.items():
        kept[key] = merged(kept.get(key, {}), timings)
    data = {key: {what.name: list(values) for what, values in timings.items()} for key, timings in kept.items()}
    with contextlib.suppress(OSError):
        write_durably(file, json.dumps(data, indent=1, sort_keys=True).encode())


def merged(before: Timings, now: Timings) -> Timings:
    """What is known after another render: of what both have, the earlier counts for so much at most."""
    known = dict(before)
    for what, (count, seconds) in now.items():
        earlier = before.get(what, (0.0, 0.0)) if what.part != "bucket" else (0.0, 0.0)
        share = min(1.0, max(_EARLIER, count) / earlier[0]) if earlier[0] else 0.0
        known[what] = (count + share * earlier[0], seconds + share * earlier[1])
    return known


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _read(file: Path) -> dict[str, Timings]:
    try:
        data = json.loads(read_regular(file, _MOST_BYTES))
        return {
            str(key): {_measured(name): (float(count), float(seconds)) for name, (count, seconds) in timings.items()}
            for key, timings in data.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _measured(name: str) -> Measured:
    part, size, chunks, rows = name.split(" ")
    width, height = size.split("x")
    return Measured(part, int(height), int(width), int(chunks), int(rows))
