"""Timing of several things in turns: each is warmed up until it gets no faster, then a few calls of each, round by round.

Between them a yardstick is timed, arithmetic that never changes: what a shared machine gives at one moment and not at
another then shows in both, and the ratio of the two is what `bench --compare` looks at.
"""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from latentpress.bench.steady import Steady

K = TypeVar("K", bound=Hashable)
Call = Callable[[], object]
clock = time.perf_counter


@dataclass(frozen=True)
class Samples:
    """What was timed of one thing.

    warm_up: seconds of the calls before, the first one cold; rounds: of each call, by round; yardstick: of the yardstick
    around each round, the median of its calls before and after.
    """

    warm_up: list[float]
    rounds: list[list[float]] = field(default_factory=list[list[float]])
    yardstick: list[float] = field(default_factory=list[float])

    @property
    def seconds(self) -> list[float]:
        """Of all calls, in their order."""
        return [taken for calls in self.rounds for taken in calls]


def warmed(call: Call, most_seconds: float) -> Samples:
    """Call until no trend is left (steady.py), twice at least, and end after `most_seconds` otherwise."""
    steady, end = Steady(), clock() + most_seconds
    while not steady.done and (len(steady.seconds) < 2 or clock() < end):
        steady.add(timed(call))
    return Samples(steady.seconds)


def in_turns(
    calls: Mapping[K, tuple[Call, Samples]], repeats: int, yardstick: Call, rounds: int = 10
) -> dict[K, Samples]:
    """Time each of `calls`, warmed up before, `repeats` times in all, in `rounds` rounds or as many as there are repeats."""
    rounds = min(rounds, repeats)
    for number in range(rounds):
        count = repeats // rounds + (number < repeats % rounds)
        before = measured_yardstick(yardstick)
        for call, samples in calls.values():
            samples.rounds.append([timed(call) for _ in range(count)])
            after = measured_yardstick(yardstick)
            samples.yardstick.append((before + after) / 2)
            before = after
    return {key: samples for key, (_, samples) in calls.items()}


def measured_yardstick(yardstick: Call) -> float:
    """Seconds that it takes now: the median of five calls."""
    return sorted(timed(yardstick) for _ in range(5))[2]


def timed(call: Call) -> float:
    """Seconds of one call."""
    started = clock()
    call()
    return clock() - started
