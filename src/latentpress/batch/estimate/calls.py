"""How pictures share UNet calls: the loop's packing (runtime/loop/denoise.py) replayed on numbers. Knows no model."""

from collections import Counter
from collections.abc import Sequence


def packed_calls(pictures: Sequence[Sequence[int]], most: int) -> Counter[int]:
    """Rows of a call -> how many calls have so many, where at most `most` rows go into one.

    pictures: the rows that each takes in each of its calls, in the order in which they wait.
    """
    calls: Counter[int] = Counter()
    active: list[tuple[Sequence[int], int]] = []
    waiting = iter([one for one in pictures if one])
    following = next(waiting, None)
    while True:
        rows = sum(one[at] for one, at in active)
        while following is not None and (not active or rows + following[0] <= most):
            rows += following[0]
            active.append((following, 0))
            following = next(waiting, None)
        if not active:
            return calls
        # Until one of them ends or takes other rows, every call is the same.
        alike = min(_alike(one, at) for one, at in active)
        calls[rows] += alike
        active = [(one, at + alike) for one, at in active if at + alike < len(one)]


def _alike(rows: Sequence[int], at: int) -> int:
    """How many calls of a picture, from `at` on, take as many rows as the one at `at`."""
    end = at
    while end < len(rows) and rows[end] == rows[at]:
        end += 1
    return end - at
