"""Whole pictures, from prompt to pixels, in two of MLPerf Inference's scenarios: SingleStream and Offline.

SingleStream (V. J. Reddi et al., MLPerf Inference Benchmark, ISCA 2020): one picture at a time, the next one when it is
done; its figure is the latency. Offline: all pictures are there from the beginning; its figure is images per second.
"""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from latentpress.bench.figures import Figure, figure
from latentpress.bench.jobs import BenchJob
from latentpress.bench.metered import Metered
from latentpress.bench.turns import Call, measured_yardstick
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest

SINGLE_STREAM, OFFLINE = "SingleStream", "Offline"
# Pictures of an Offline run that its interval is made of: images per second over so many stretches of it.
_STRETCHES = 20


@dataclass(frozen=True)
class Scenario:
    """One scenario of one kind of job.

    rows: UNet rows a call at most; images: that were timed; images_per_second: over all of the time; cold: milliseconds of
    the first picture at this size in this process, SingleStream alone; figure: SingleStream's in milliseconds a picture,
    Offline's in images per second over stretches of the run; outside_unet: the share of the time spent outside the UNet's
    calls, 0..1; values: what the figure is made of; yardstick: seconds of the yardstick beside each of them.
    """

    scenario: str
    job: str
    rows: int
    images: int
    seconds: float
    images_per_second: float
    cold: float | None
    figure: Figure
    outside_unet: float
    values: list[float]
    yardstick: list[float]


def single_stream(renderer: Renderer, unet: Metered, job: BenchJob, seconds: float, yardstick: Call) -> Scenario:
    """One picture after the other for `seconds`, three at least; the first, cold one stands apart."""
    # A picture of its own has two rows at most, and a call that is filled up to more would cost more.
    renderer.batch_rows = rows = job.rows
    numbers = itertools.count()
    cold = _one(renderer, job.request(next(numbers)))
    _one(renderer, job.request(next(numbers)))
    unet.seconds, began = 0.0, time.perf_counter()
    taken: list[float] = []
    beside: list[float] = []
    before = measured_yardstick(yardstick)
    while len(taken) < 3 or sum(taken) < seconds:
        taken.append(_one(renderer, job.request(next(numbers))))
        if len(taken) % 5 == 0 or sum(taken) >= seconds:
            after = measured_yardstick(yardstick)
            beside += [(before + after) / 2] * (len(taken) - len(beside))
            before = after
    beside += [before] * (len(taken) - len(beside))
    whole = sum(taken)
    values = [1000 * one for one in taken]
    return Scenario(
        SINGLE_STREAM, job.name, rows, len(taken), time.perf_counter() - began, len(taken) / whole, 1000 * cold,
        figure(values), 1 - unet.seconds / whole, values, beside,
    )  # fmt: skip


def offline(renderer: Renderer, unet: Metered, job: BenchJob, rows: int, seconds: float, yardstick: Call) -> Scenario:
    """Pictures at `rows` a call for `seconds` at least, after a shorter run that allocates, tunes and captures.

    Raises MemoryError where the rows did not fit: what was timed would be another bucket.
    """
    renderer.batch_rows = rows
    together = max(1, rows // job.rows)
    warming = [(number, _short(job.request(number))) for number in range(2 * together)]
    for _ in renderer.render(warming):
        pass
    values: list[float] = []
    beside: list[float] = []
    images, whole, number = 0, 0.0, 0
    unet.seconds, began = 0.0, time.perf_counter()
    least, rate = seconds / _STRETCHES, 0.0
    before = measured_yardstick(yardstick)
    while len(values) < 3 or whole < seconds:
        # Pictures of a batch that begin together end together: whole batches fill every call.
        count = together * max(2, round(least * rate / together))
        started = time.perf_counter()
        done = sum(1 for _ in _whole(renderer, [(number + i, job.request(number + i)) for i in range(count)]))
        taken = time.perf_counter() - started
        rate, number = done / taken, number + count
        images, whole = images + done, whole + taken
        after = measured_yardstick(yardstick)
        values.append(rate)
        beside.append((before + after) / 2)
        before = after
    if renderer.batch_rows < rows:
        raise MemoryError
    return Scenario(
        OFFLINE, job.name, rows, images, time.perf_counter() - began, images / whole, None,
        figure(values), 1 - unet.seconds / whole, values, beside,
    )  # fmt: skip


def _whole(renderer: Renderer, asked: Sequence[tuple[int, RenderRequest]]) -> Iterator[int]:
    for picture in renderer.render(asked):
        if picture.error:
            raise RuntimeError(picture.error)
        yield picture.key


def _one(renderer: Renderer, request: RenderRequest) -> float:
    started = time.perf_counter()
    for _ in _whole(renderer, [(0, request)]):
        pass
    return time.perf_counter() - started


def _short(request: RenderRequest) -> RenderRequest:
    """The first calls of every size allocate, and on a GPU they tune and capture: a few steps do that."""
    return replace(request, steps=min(3, request.steps))
