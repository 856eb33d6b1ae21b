"""How many UNet rows a call should take on this machine: tried once for a bundle and size, and remembered."""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from latentpress.runtime.memory import is_out_of_memory

BUCKETS = (2, 4, 8, 16, 32, 64)
# A larger bucket must be faster per row by this share, or the smaller one is taken: it refills sooner, and it leaves
# memory to others.
WORTH = 0.03
REPEATS = 3


@dataclass(frozen=True)
class Calibration:
    """rows: the bucket to use; milliseconds: per row, by the bucket tried."""

    rows: int
    milliseconds: dict[int, float]


def calibrate(run: Callable[[int], object], buckets: Sequence[int] = BUCKETS, repeats: int = REPEATS) -> Calibration:
    """Try `run(rows)` for rising `buckets` until two in a row are not worth it, or memory runs out.

    The smallest bucket must fit: what it raises passes.
    """
    found: dict[int, float] = {}
    best = buckets[0]
    for rows in buckets:
        try:
            run(rows)  # the first call at a size allocates
            seconds = [_timed(run, rows) for _ in range(repeats)]
        except Exception as error:
            if not found or not is_out_of_memory(error):
                raise
            break
        found[rows] = statistics.median(seconds) / rows * 1000
        if found[rows] < found[best] * (1 - WORTH):
            best = rows
        if list(found).index(best) <= len(found) - 3:
            break
    return Calibration(best, found)


def remembered(file: Path, key: str, measure: Callable[[], Calibration]) -> Calibration:
    """The calibration kept in the JSON file under `key`; measured and written there first if it is not.

    key: everything the answer depends on, e.g. bundle, engine, machine and size. An unreadable file is begun anew.
    """
    kept = _read(file)
    if key in kept:
        return kept[key]
    # Measured before the file is read again: another process may have written meanwhile.
    found = measure()
    kept = {**_read(file), key: found}
    file.parent.mkdir(parents=True, exist_ok=True)
    data = {name: {"rows": c.rows, "milliseconds": c.milliseconds} for name, c in sorted(kept.items())}
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=".tmp-", delete=False) as stream:
        json.dump(data, stream, indent=2)
    Path(stream.name).replace(file)
    return found


def _timed(run: Callable[[int], object], rows: int) -> float:
    started = time.perf_counter()
    run(rows)
    return time.perf_counter() - started


def _read(file: Path) -> dict[str, Calibration]:
    try:
        data = json.loads(file.read_text())
        return {
            str(key): Calibration(int(value["rows"]), {int(k): float(v) for k, v in value["milliseconds"].items()})
            for key, value in data.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
