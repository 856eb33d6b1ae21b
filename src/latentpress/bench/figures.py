"""What a row of timings says: its median with an interval, and the percentiles that so many calls carry. Knows no engine."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# How sure an interval is, and how sure a percentile must be bounded by the calls made.
CONFIDENCE = 0.95
_RESAMPLES = 2000


@dataclass(frozen=True)
class Figure:
    """What `calls` timings of one thing say; all in the unit of the timings.

    low, high: bounds of the median, 95%; least, most: of all calls; p90, p99: None where too few calls carry them.
    """

    calls: int
    median: float
    low: float
    high: float
    least: float
    most: float
    p90: float | None
    p99: float | None


def figure(values: Sequence[float]) -> Figure:
    """The figure of `values`, in the order in which they were measured; raises ValueError where there are none."""
    if not len(values):
        raise ValueError("no calls were timed")
    found = np.asarray(values, dtype=np.float64)
    low, high = median_interval(found)
    p90, p99 = (float(np.percentile(found, at)) if carried(at, len(found)) else None for at in (90, 99))
    least, most = float(found.min()), float(found.max())
    return Figure(len(found), float(np.median(found)), low, high, least, most, p90, p99)


def carried(percentile: float, calls: int) -> bool:
    """Whether the slowest of `calls` is beyond the true percentile with 95% confidence: 5 for p50, 29 for p90, 299 for p99.

    The one-sided bound of S. S. Wilks, Annals of Mathematical Statistics 12, 1941: 1 - p^n >= 0.95. With fewer calls the
    percentile would be a guess at a tail that nobody has seen.
    """
    return 1 - (percentile / 100) ** calls >= CONFIDENCE


def median_interval(values: NDArray[np.float64], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Bounds of the median of `values`, in their order: the wider of two intervals on each side.

    The bootstrap in blocks (`resampled`) allows for calls that follow one another and are alike, and is too narrow for few
    calls; the interval of the sign test, between two of the values by rank (W. R. Thompson, Annals of Mathematical
    Statistics 7, 1936), holds for as few as 6, and for fewer is all that was seen.
    """
    found = np.median(resampled(values, np.random.default_rng(0)), axis=1)
    edge = 50 * (1 - confidence)
    low, high = np.percentile(found, [edge, 100 - edge])
    ranked, rank = np.sort(values), _rank(len(values), confidence)
    return float(min(low, ranked[rank])), float(max(high, ranked[-1 - rank]))


def _rank(count: int, confidence: float) -> int:
    """How many values may lie outside on each side: the most for which a fair coin of `count` throws shows that few heads,
    or fewer, no oftener than (1 - confidence) / 2."""
    below, rank = 0.0, 0
    while rank < count // 2:
        below += math.comb(count, rank) / 2**count
        if below > (1 - confidence) / 2:
            break
        rank += 1
    return max(0, rank - 1)


def resampled(values: NDArray[np.float64], random: np.random.Generator, times: int = _RESAMPLES) -> NDArray[np.float64]:
    """(times, n): `values` drawn again in blocks, by the moving blocks bootstrap.

    H. R. Kuensch, Annals of Statistics 17, 1989. Timings that follow one another are alike, and single ones drawn again
    would make an interval that is too narrow. Blocks are n^(1/3) long and may begin anywhere; the last goes on at the
    beginning, so that each value counts alike.
    """
    count = len(values)
    length = math.ceil(count ** (1 / 3))
    begins = random.integers(0, count, (times, math.ceil(count / length)))
    places = (begins[:, :, None] + np.arange(length)) % count
    return values[places.reshape(times, -1)[:, :count]]
