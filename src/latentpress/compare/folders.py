"""Finds the pictures of two sides, pairs them and compares them, some at a time, on all cores.

Of 10,000 equal pairs nothing is kept but their names and a count; a picture's pixels live as long as it is compared.
"""

import math
import os
from collections import defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from latentpress.batch.plan.collisions import SHEET_NAME
from latentpress.batch.proof.provenance import provenance
from latentpress.compare.pair import Pair, compare_pair
from latentpress.compare.report import Report, Tally
from latentpress.engines.devices import cpu_count
from latentpress.errors import EnvironmentFailure, UsageError
from latentpress.files import OWN_FOLDER, TEMP_PREFIX
from latentpress.measures.pooled import mapped
from latentpress.sheets.record import is_sheet

# Below a folder, what is called so is a picture; that everything else is left alone is why a folder may hold anything.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")
# dB from which on pictures are close: what the tests of this project ask of an engine.
CLOSE_AT = 40.0


def compare(a: Path | str, b: Path | str, *, close: float = CLOSE_AT, threads: int | None = None) -> Report:
    """Compare two folders with pictures, or two pictures.

    Pictures are paired by their path below the folder; those left over by the job hash that they say they are of. Not
    compared are sheets and what lies in `.latentpress`, unless the folder itself lies in there.
    close: dB, PSNR from which on unequal pictures are close and not different; threads: by default one for each core.
    Raises UsageError for another `close`, for what is no folder and no file, a folder beside a file, and two folders
    without a picture, and EnvironmentFailure for a folder that cannot be listed.
    """
    if not (math.isfinite(close) and close >= 0):
        raise UsageError(f"close is {close}; it must be a number of dB from 0 on, e.g. 40")
    one, other = Path(a), Path(b)
    for path in (one, other):
        if not path.exists():
            raise UsageError(f"{path}: no such folder or picture; check the path")
    if one.is_dir() != other.is_dir():
        folder, file = (one, other) if one.is_dir() else (other, one)
        raise UsageError(f"{folder} is a folder and {file} is not; give two folders, or two pictures")
    with ThreadPoolExecutor(threads or cpu_count(), "compare") as pool:
        if not one.is_dir():
            tally = Tally(one, other, close)
            tally.add(compare_pair(one, other, (str(one), str(other)), close))
            return tally.report((), ())
        pairs, only_a, only_b = _paired(one, other, pool)
        tally = Tally(one, other, close)

        def compared(names: tuple[str, str]) -> Pair:
            return compare_pair(one / names[0], other / names[1], names, close)

        for pair in mapped(pool, compared, pairs):
            tally.add(pair)
        return tally.report(only_a, only_b)


def pictures_below(folder: Path) -> list[str]:
    """The paths below `folder` of its pictures, with `/`, sorted; without sheets and what is the program's own.

    Links to folders are not followed. Raises EnvironmentFailure for a folder that cannot be listed.
    """
    found: list[str] = []

    def refuse(error: OSError) -> None:
        raise EnvironmentFailure(f"{error.filename}: the folder cannot be read ({error.strerror}); fix its permissions")

    for where, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if name != OWN_FOLDER]
        below = Path(where).relative_to(folder).as_posix()
        for name in files:
            path = name if below == "." else f"{below}/{name}"
            if not name.lower().endswith(SUFFIXES) or name.startswith(TEMP_PREFIX):
                continue
            if path != SHEET_NAME and not is_sheet(folder / path):
                found.append(path)
    return sorted(found)


def _paired(a: Path, b: Path, pool: ThreadPoolExecutor) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """(pairs of names, names only in A, names only in B)."""
    names_a, names_b = pictures_below(a), pictures_below(b)
    if not names_a and not names_b:
        kinds = ", ".join(suffix[1:] for suffix in SUFFIXES)
        raise UsageError(f"{a} and {b}: no pictures in either; give folders with {kinds} files")
    known = set(names_b)
    pairs = [(name, name) for name in names_a if name in known]
    both = {name for name, _ in pairs}
    left_a, left_b = ([name for name in names if name not in both] for names in (names_a, names_b))
    if not left_a or not left_b:
        return pairs, left_a, left_b
    # A picture under another name: of twins, which are equal, the first goes with the first.
    waiting: defaultdict[str, deque[str]] = defaultdict(deque)
    for name, job in zip(left_b, _jobs(b, left_b, pool), strict=True):
        if job is not None:
            waiting[job].append(name)
    renamed = {
        name: waiting[job].popleft()
        for name, job in zip(left_a, _jobs(a, left_a, pool), strict=True)
        if job is not None and waiting.get(job)
    }
    taken = set(renamed.values())
    return (
        pairs + list(renamed.items()),
        [name for name in left_a if name not in renamed],
        [name for name in left_b if name not in taken],
    )


def _jobs(folder: Path, names: list[str], pool: ThreadPoolExecutor) -> Iterator[str | None]:
    """The job hash of each picture, None of one that does not say."""
    for said in mapped(pool, provenance, (folder / name for name in names)):
        yield None if said is None else said["job_hash"]
