"""Work on many pictures in threads, of which only a few wait in memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def mapped(pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """As `pool.map`, in order, which would queue all of `items` and keep all that comes of them."""
    most = 4 * pool._max_workers  # pyright: ignore[reportPrivateUsage]
    queue: deque[Future[R]] = deque()
    for item in items:
        queue.append(pool.submit(function, item))
        if len(queue) >= most:
            yield queue.popleft().result()
    while queue:
        yield queue.popleft().result()
