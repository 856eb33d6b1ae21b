"""How many UNet rows a call should take on this machine: tried once for a bundle and size, and remembered."""

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from latentpress.engines.memory import is_out_of_memory
from latentpress.files import write_durably
from latentpress.runtime.busy import BUSY, today, watch

BUCKETS = (2, 4, 8, 16, 32, 64)
# A larger bucket must be faster per row by this share, or the smaller one is taken: it refills sooner, and it leaves
# memory to others.
WORTH = 0.03
REPEATS = 3
# Where calls are so slow that this is soon spent, one row fills the machine already, and more rows gain little.
SECONDS = 10.0


@dataclass(frozen=True)
class Calibration:
    """rows: the bucket to use; milliseconds: per row, by the bucket tried.

    measured: when; others: the share of the CPU time that other programs took meanwhile, None where nobody knows.
    """

    rows: int
    milliseconds: dict[int, float]
    measured: str = ""
    others: float | None = None

    @property
    def disturbed(self) -> bool:
        """Whether other programs took so much that it is to be measured again."""
        return self.others is not None and self.others > BUSY


def calibrate(
    run: Callable[[int], object], buckets: Sequence[int] = BUCKETS, repeats: int = REPEATS, seconds: float = SECONDS
) -> Calibration:
    """Time `run(rows)` for rising `buckets` until two in a row gain too little, memory runs out, or `seconds` would.

    The smallest bucket is always tried and must fit; what it raises is not caught.
    """
    found: dict[int, float] = {}
    best = buckets[0]
    end = time.perf_counter() + seconds
    others = watch()
    for rows in buckets:
        if found and time.perf_counter() + 2 * rows * min(found.values()) / 1000 > end:
            break
        try:
            run(rows)  # the first call at a size allocates
            taken = [_timed(run, rows)]
            while len(taken) < repeats and time.perf_counter() + taken[-1] < end:
                taken.append(_timed(run, rows))
        except Exception as error:
            if not found or not is_out_of_memory(error):
                raise
            break
        # The fastest call, because whatever else the machine does can only slow one down.
        found[rows] = min(taken) / rows * 1000
        if found[rows] < found[best] * (1 - WORTH):
            best = rows
        if list(found).index(best) <= len(found) - 3:
            break
    return Calibration(best, found, today(), others())


def recalled(file: Path, key: str) -> Calibration | None:
    """The calibration kept in the JSON file under `key`, if there is one."""
    return _read(file).get(key)


def remembered(file: Path, key: str, measure: Callable[[], Calibration]) -> Calibration:
    """The calibration kept in the JSON file under `key`; measured and written there first if it is not, or was disturbed.

    Of two that were disturbed the one that was so less is kept. key: everything the answer depends on, e.g. engine,
    machine and size. An unreadable file is started over.
    """
    kept = recalled(file, key)
    if kept is not None and not kept.disturbed:
        return kept
    # Measured before the file is read again: another process may have written meanwhile.
    found = measure()
    if kept is not None and (found.others or 0.0) > (kept.others or 0.0):
        return kept
    data = {name: asdict(one) for name, one in {**_read(file), key: found}.items()}
    # If the cache cannot be written, the next run calibrates again; nothing else is lost.
    with contextlib.suppress(OSError):
        write_durably(file, json.dumps(data, indent=2, sort_keys=True).encode())
    return found


def _timed(run: Callable[[int], object], rows: int) -> float:
    started = time.perf_counter()
    run(rows)
    return time.perf_counter() - started


def _read(file: Path) -> dict[str, Calibration]:
    try:
        data = json.loads(file.read_text())
        found = {
            str(key): Calibration(
                int(value["rows"]),
                {int(rows): float(taken) for rows, taken in value["milliseconds"].items()},
                str(value["measured"]),
                None if value["others"] is None else float(value["others"]),
            )
            for key, value in data.items()
            if "measured" in value  # earlier versions did not look what else the machine did
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
    return {key: calibration for key, calibration in found.items() if calibration.rows in calibration.milliseconds}
