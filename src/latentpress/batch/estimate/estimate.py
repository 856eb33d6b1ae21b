"""The time a render takes, before it begins: its calls, each at the pace that was measured on this machine.

The error is that of earlier estimates in the same folder, which its ledger keeps beside what the renders took.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from latentpress.batch.estimate.calls import packed_calls
from latentpress.batch.estimate.loads import Load, Loads
from latentpress.batch.estimate.pace import Pace
from latentpress.batch.ledger.runs import RunRow

# The rows of a call where no render of that size was calibrated, as runtime/bucket.py has it.
_DEFAULT_ROWS = 8
# Renders whose estimates are compared with what they took.
_COMPARED = 10


@dataclass(frozen=True)
class Part:
    """One load's part of an estimate: UNet calls by their rows, the refiner's among them, and the seconds in all.

    seconds: None where nothing is known.
    """

    load: Load
    calls: Counter[int]
    seconds: float | None


@dataclass(frozen=True)
class Estimate:
    """What a render is expected to take.

    parts: in the order of rendering; loading: the seconds of opening engines, None where unknown; seconds: those of
    rendering, without that, None where nothing is known of a part; rough: whether some was drawn from other sizes or parts.
    error: how far earlier estimates were off on average, as a share of what was estimated, and from how many renders; None
    without any.
    """

    parts: tuple[Part, ...] = ()
    loading: float | None = None
    seconds: float | None = None
    rough: bool = False
    error: tuple[float, int] | None = None


def estimated(
    loads: Loads, paces: Mapping[str, Pace], batch_rows: int | None = None, error: tuple[float, int] | None = None
) -> Estimate:
    """The estimate of `loads`; paces: by the bundle's hash, and the refiners'; batch_rows: where the run fixes them."""
    empty = Pace({})
    parts = tuple(
        _part(load, paces.get(load.bundle, empty), paces, batch_rows or _rows(load.bundle, loads, paces))
        for load in loads.loads
    )
    bundles = list(dict.fromkeys(load.bundle for load in loads.loads))
    guided = {load.bundle for load in loads.loads if any(kind.work.gradients for kind in load.kinds)}
    loading = [paces.get(bundle, empty).loading for bundle in bundles]
    loading += [paces.get(bundle, empty).guidance for bundle in bundles if bundle in guided]
    known = [part.seconds for part in parts if part.seconds is not None]
    whole = len(known) == len(parts) > 0
    return Estimate(
        parts,
        sum(one for one in loading if one is not None) if any(loading) else None,
        sum(known) if whole else None,
        any(pace.rough for pace in paces.values()),
        error,
    )


def past_error(runs: Iterable[RunRow]) -> tuple[float, int] | None:
    """How far the last estimates of a folder's renders were off (`RunRow.off`): (mean share, how many); None without any."""
    found = [abs(run.off) for run in runs if run.off is not None][-_COMPARED:]
    return (sum(found) / len(found), len(found)) if found else None


def _rows(bundle: str, loads: Loads, paces: Mapping[str, Pace]) -> int:
    """The rows of a call, which a run chooses once for a bundle, by its most common size."""
    sizes: Counter[tuple[int, int]] = Counter()
    for load in loads.loads:
        if load.bundle == bundle:
            sizes[load.height, load.width] += load.pictures
    pace = paces.get(bundle)
    return (pace and pace.bucket(*sizes.most_common(1)[0][0])) or _DEFAULT_ROWS


def _part(load: Load, pace: Pace, paces: Mapping[str, Pace], most: int) -> Part:
    calls: Counter[int] = Counter()
    total: float | None = 0.0
    refiners = list(dict.fromkeys(kind.refiner for kind in load.kinds if kind.refiner))
    for refiner in ("", *refiners):
        found, seconds = _calls(load, paces.get(refiner, Pace({})) if refiner else pace, most, refiner)
        calls += found
        total = None if total is None or seconds is None else total + seconds
    for kind, count in load.kinds.items():
        last = paces.get(kind.refiner, pace) if kind.refiner else pace
        decode = last.decode(load.height, load.width)
        gradient = pace.gradient(load.height, load.width) if kind.work.gradients else 0.0
        if total is None or decode is None or gradient is None:
            return Part(load, calls, None)
        around = pace.around(load.height, load.width, read=kind.work.read)
        total += count * (decode + kind.work.gradients * gradient + around)
    return Part(load, calls, total)


def _calls(load: Load, pace: Pace, most: int, refiner: str) -> tuple[Counter[int], float | None]:
    """The UNet calls of a load, by their rows, and their seconds; refiner: those of the refiner of that hash."""
    wanted = [kind for kind in load.first if not refiner or kind.refiner == refiner]
    replayed = packed_calls([kind.work.refined if refiner else kind.work.rows for kind in wanted], most)
    rows = sum(rows * count for rows, count in replayed.items())
    if not rows:
        return Counter(), 0.0 if wanted or not refiner else None
    every = sum(
        count * sum(kind.work.refined if refiner else kind.work.rows)
        for kind, count in load.kinds.items()
        if not refiner or kind.refiner == refiner
    )
    calls = Counter({size: round(count * every / rows) or 1 for size, count in replayed.items()})
    seconds = 0.0
    for size, count in calls.items():
        took = pace.turn(load.height, load.width, load.chunks, size)
        if took is None:
            return calls, None
        seconds += count * took
    return calls, seconds
