"""Many settings measured as one run, in turns: engines, rows, sizes, steps and threads, every combination of what is named.

A combination's unit is one batch of pictures, from prompts to pixels: its time is the latency of each picture in it, and its
pictures over its time are the throughput. More rows buy throughput with latency; what nothing beats in both is the Pareto
front.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from latentpress.bench.figures import Figure, figure
from latentpress.bench.jobs import PLAIN, BenchJob, Work, bench_jobs
from latentpress.bench.turns import Call, Samples, in_turns, warmed
from latentpress.bundle.info import Bundle
from latentpress.engines.engine import Session
from latentpress.engines.memory import is_out_of_memory
from latentpress.errors import UsageError
from latentpress.runtime.render import Renderer

# What can be swept, in the order of columns.
AXES = ("engine", "threads", "size", "steps", "rows")
_WARM_UP = 5.0
Sessions = Callable[[str, int | None], Mapping[str, Session]]


@dataclass(frozen=True)
class Combination:
    """One of each axis. threads: None for all cores; size: (height, width)."""

    engine: str
    threads: int | None
    size: tuple[int, int]
    steps: int
    rows: int

    @property
    def label(self) -> dict[str, str]:
        """As tables have it, by the axes' names."""
        height, width = self.size
        values = (self.engine, str(self.threads or "all"), f"{width}x{height}", str(self.steps), str(self.rows))
        return dict(zip(AXES, values, strict=True))


@dataclass(frozen=True)
class Swept:
    """pictures: in a batch; latency: of a picture, milliseconds; throughput: images per second, at the median latency and at
    the bounds of its interval; front: whether no other combination is at least as good in both, and better in one."""

    combination: Combination
    pictures: int
    latency: Figure
    throughput: float
    throughput_low: float
    throughput_high: float
    front: bool


def swept(
    bundle: Bundle,
    combinations: Sequence[Combination],
    base: Work,
    sessions: Sessions,
    repeats: int,
    yardstick: Call,
    report: Callable[[str], None] = lambda line: None,
) -> tuple[list[Swept], list[str]]:
    """Measure `combinations` in turns, `repeats` batches of each; the second answer says what was left out, and why.

    sessions: opens the components for an engine and a number of threads. base: the sampler and the guidance.
    """
    notes: list[str] = []
    calls: dict[Combination, tuple[Call, Samples]] = {}
    together: dict[Combination, int] = {}
    with ExitStack() as stack:
        for one in combinations:
            work = replace(base, height=one.size[0], width=one.size[1], steps=one.steps)
            jobs = stack.enter_context(bench_jobs(bundle.info, work, [PLAIN], notes))
            if not jobs:
                break
            report(f"warming up {', '.join(one.label.values())}")
            together[one] = max(1, one.rows // jobs[0].rows)
            renderer = Renderer(
                bundle, sessions=sessions(one.engine, one.threads), threads=one.threads, batch_rows=one.rows
            )
            call = _batch(renderer, jobs[0], together[one])
            try:
                samples = warmed(call, _WARM_UP)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                notes.append(f"{', '.join(one.label.values())}: does not fit into memory")
                continue
            calls[one] = call, samples
        report(f"measuring {len(calls)} combinations in turns, {repeats} batches each")
        measured = in_turns(calls, repeats, yardstick)
    return _ranked({one: figure([1000 * s for s in found.seconds]) for one, found in measured.items()}, together), notes


def combinations_of(axes: Mapping[str, Sequence[str]], base: Combination) -> list[Combination]:
    """Every combination of the values in `axes`, `base` where one has none; raises UsageError for what is no value."""
    parsed = {name: [_value(name, text) for text in values] for name, values in axes.items()}
    names = [name for name in AXES if name in parsed]
    return [replace(base, **dict(zip(names, ones, strict=True))) for ones in itertools.product(*map(parsed.get, names))]  # pyright: ignore


def parse_axes(texts: Sequence[str]) -> dict[str, list[str]]:
    """`rows=2,8` and so on, each axis once; raises UsageError."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        listed = [value.strip() for value in values.split(",") if value.strip()]
        if name not in AXES or not equals or not listed or name in found:
            raise UsageError(
                f"--sweep {text!r}: must be AXIS=VALUE,VALUE,... with one of {', '.join(AXES)}, each once, e.g. rows=2,8,16"
            )
        found[name] = listed
    return found


def _value(name: str, text: str) -> object:
    if name == "engine":
        return text
    if name == "threads" and text == "all":
        return None
    if name == "size":
        width, by, height = text.partition("x")
        sides = (int(height), int(width)) if by and width.isdigit() and height.isdigit() else (0, 0)
        if all(side > 0 and side % 8 == 0 for side in sides):
            return sides
        raise UsageError(f"--sweep size={text}: must be WIDTHxHEIGHT in pixels, both multiples of 8, e.g. 512x512")
    if text.isdigit() and 0 < int(text) <= 1024:
        return int(text)
    raise UsageError(f"--sweep {name}={text}: must be a number from 1 to 1024")


def _batch(renderer: Renderer, job: BenchJob, pictures: int) -> Call:
    numbers = itertools.count()

    def call() -> None:
        asked = [(number, job.request(number)) for number in itertools.islice(numbers, pictures)]
        for picture in renderer.render(asked):
            if picture.error:
                raise RuntimeError(picture.error)

    return call


def _ranked(latencies: Mapping[Combination, Figure], together: Mapping[Combination, int]) -> list[Swept]:
    rates = {one: together[one] / (found.median / 1000) for one, found in latencies.items()}

    def beaten(one: Combination) -> bool:
        mine = (latencies[one].median, -rates[one])
        others = ((latencies[other].median, -rates[other]) for other in latencies if other != one)
        return any(a <= mine[0] and b <= mine[1] and (a, b) != mine for a, b in others)

    return [
        Swept(
            one,
            together[one],
            found,
            rates[one],
            1000 * together[one] / found.high,
            1000 * together[one] / found.low,
            not beaten(one),
        )
        for one, found in latencies.items()
    ]
