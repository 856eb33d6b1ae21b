"""Finds the pictures below an output folder, and reads many of them in threads without holding them all."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from latentpress.batch.aside import KEPT, REPLACED
from latentpress.engines.devices import cpu_count
from latentpress.files import OWN_FOLDER, TEMP_PREFIX
from latentpress.manifest.names import SUFFIXES

T = TypeVar("T")
R = TypeVar("R")


def files_below(folder: Path) -> Iterator[str]:
    """The path below `folder` of each file named as a picture is, in order; not of those in `.latentpress`."""
    for above, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != OWN_FOLDER)
        for name in sorted(files):
            if name.endswith(SUFFIXES) and not name.startswith(TEMP_PREFIX):
                yield Path(above, name).relative_to(folder).as_posix()


def files_aside(folder: Path) -> Iterator[str]:
    """The same of those that were moved to .latentpress, or are kept there."""
    for place in (KEPT, REPLACED):
        yield from (f"{place}/{name}" for name in files_below(folder / place))


def in_threads(work: Callable[[T], R], items: Iterable[T], threads: int | None = None) -> Iterator[R]:
    """`work` of each item, in their order, on all cores; of what waits for its turn there are two for each thread."""
    count = threads or cpu_count()
    with ThreadPoolExecutor(count, "scan") as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 2 * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
