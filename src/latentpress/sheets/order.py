"""The order of an axis' values, from cells of which some are left out: knows texts and places, no sheet.

The first cell that has a value may stand behind others of later values, as where `exclude` left out a corner of a matrix.
"""

import heapq
from collections.abc import Hashable, Iterable


def in_order(cells: Iterable[tuple[Hashable, str]]) -> list[str]:
    """The values of `cells`, pairs of (line, value) in the plan's order: as they follow each other along the lines.

    line: what else places a cell, the same for cells that differ in their value alone. Where lines contradict each other,
    or leave it open, the value that appears first is the first.
    """
    first: dict[str, int] = {}
    behind: dict[str, set[str]] = {}
    last: dict[Hashable, str] = {}
    for line, value in cells:
        first.setdefault(value, len(first))
        if (before := last.get(line)) is not None and before != value:
            behind.setdefault(before, set()).add(value)
        last[line] = value
    lacking = dict.fromkeys(first, 0)
    for values in behind.values():
        for value in values:
            lacking[value] += 1
    ready = [(place, value) for value, place in first.items() if not lacking[value]]
    heapq.heapify(ready)
    found: list[str] = []
    while ready:
        _, value = heapq.heappop(ready)
        found.append(value)
        for after in behind.get(value, ()):
            lacking[after] -= 1
            if not lacking[after]:
                heapq.heappush(ready, (first[after], after))
    return found if len(found) == len(first) else list(first)
