"""Compares two runs of `latentpress bench --json`, figure by figure: faster, slower, or within noise.

What is compared is time in multiples of the yardstick's beside it (yardstick.py): a shared machine is not equally fast at
all times, and what slows both does not count. Where the machines differ, nothing of this holds, and seconds are compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentpress.bench.figures import CONFIDENCE, resampled

# Differences below this are never told apart from noise: two runs of one thing on a shared machine differ by as much in
# where their memory lies and in what the neighbours do, which calls within one run do not show (docs/benchmarking.md).
MARGIN = 0.04
FASTER, SLOWER, SAME = "faster", "slower", "within noise"
_TIMES = 4000


@dataclass(frozen=True)
class Difference:
    """One figure of two runs.

    name: e.g. `unet, 8 rows` or `Offline plain, 16 rows`; before, after: medians, in `unit`; ratio: of the times, after
    over before, above 1 for slower; low, high: its bounds, at a confidence of 95% for all figures together; verdict:
    FASTER, SLOWER or SAME.
    """

    name: str
    unit: str
    before: float
    after: float
    ratio: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """differences: of all figures that both runs have; missing: those that one of them lacks; unlike: what differs between
    the runs, by name: (before, after); one_machine: whether ratios to the yardstick were compared."""

    differences: list[Difference]
    missing: list[str]
    unlike: dict[str, tuple[str, str]]
    one_machine: bool

    def slower_than(self, share: float) -> list[Difference]:
        """Those that are slower by more than `share`, and not within noise."""
        return [one for one in self.differences if one.verdict == SLOWER and one.ratio > 1 + share]


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> Comparison:
    """Compare two runs as `bench --json` has them."""
    unlike = _unlike(before, after)
    one_machine = not unlike.keys() & {"device", "threads", "yardstick"}
    first, second = _figures(before, one_machine), _figures(after, one_machine)
    both = [name for name in first if name in second]
    random = np.random.default_rng(0)
    # Each figure is held to a stricter bound, so that all together are wrong as seldom as one (Bonferroni).
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(both))
    differences = [_difference(name, first[name], second[name], confidence, random) for name in both]
    return Comparison(differences, sorted(first.keys() ^ second.keys()), unlike, one_machine)


@dataclass(frozen=True)
class _Series:
    """Times, in whatever unit, one of each call or stretch; shown: their median as a reader has it, in `unit`."""

    times: NDArray[np.float64]
    shown: float
    unit: str


def _figures(run: Mapping[str, Any], relative: bool) -> dict[str, _Series]:
    found: dict[str, _Series] = {}
    for one in run["components"]:
        name = f"{one['component']}, {one['rows']} row{'' if one['rows'] == 1 else 's'}"
        found[name] = _Series(_times(one["values"], one["yardstick"], relative), one["figure"]["median"], "ms")
    for one in run["scenarios"]:
        name = f"{one['scenario']} {one['job']}, {one['rows']} row{'' if one['rows'] == 1 else 's'}"
        rates = one["cold"] is None  # Offline's values are images per second
        values = [1 / value for value in one["values"]] if rates else one["values"]
        unit = "images/s" if rates else "ms"
        found[name] = _Series(_times(values, one["yardstick"], relative), one["figure"]["median"], unit)
    return found


def _times(values: Sequence[float], yardstick: Sequence[float], relative: bool) -> NDArray[np.float64]:
    times = np.asarray(values, dtype=np.float64)
    return times / np.asarray(yardstick) if relative else times


def _difference(
    name: str, before: _Series, after: _Series, confidence: float, random: np.random.Generator
) -> Difference:
    first, second = (np.median(resampled(one.times, random, _TIMES), axis=1) for one in (before, after))
    edge = 50 * (1 - confidence)
    low, high = (float(value) for value in np.percentile(second / first, [edge, 100 - edge]))
    ratio = float(np.median(after.times) / np.median(before.times))
    verdict = SAME
    if ratio > 1 + MARGIN and low > 1:
        verdict = SLOWER
    elif ratio < 1 / (1 + MARGIN) and high < 1:
        verdict = FASTER
    return Difference(name, before.unit, before.shown, after.shown, ratio, low, high, verdict)


def _unlike(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """What of the runs differs that may be why their figures do."""

    def facts(run: Mapping[str, Any]) -> dict[str, Any]:
        settings, about = run["settings"], run["conditions"]
        return {
            **{name: run[name] for name in ("bundle", "engine", "precision", "provider", "device", "threads")},
            **{f"graph {name}": digest for name, digest in run["graphs"].items()},
            **{name: settings["work"][name] for name in ("height", "width", "sampler", "steps", "guidance_scale")},
            **{name: about[name] for name in ("latentpress", "python", "system", "governor", "driver", "cuda")},
            **about["packages"],
            **about["variables"],
            "yardstick": run["yardstick_version"],
            "memory limit": about["memory_limit"],
            "CPU limit": about["cpu_limit"],
        }

    first, second = facts(before), facts(after)
    return {
        name: (str(first.get(name, "none")), str(second.get(name, "none")))
        for name in dict.fromkeys((*first, *second))
        if first.get(name) != second.get(name)
    }
