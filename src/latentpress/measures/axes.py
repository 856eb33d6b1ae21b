"""Which cells belong together: those that differ in one axis alone, and the one that another is compared with.

Knows cells and their labels, and no pixels.
"""

from collections.abc import Mapping, Sequence

from latentpress.choosing import meant
from latentpress.errors import UsageError, nearest, shown
from latentpress.sheets.cells import Cell, Cells
from latentpress.sheets.grid import check_key

Key = tuple[str, ...]


def key_of(labels: Mapping[str, str], axes: Sequence[str]) -> Key:
    """What the labels of a cell have for each of `axes`."""
    return tuple(labels.get(axis, "") for axis in axes)


def independent(cells: Cells, first: Sequence[str] = ()) -> tuple[str, ...]:
    """`first`, and of the other axes those that do not follow from the ones before: a prompt that a style has follows."""
    kept = list(first)
    for axis in cells.axes:
        if axis not in kept:
            found: dict[Key, str] = {}
            texts = ((key_of(cell.labels, kept), cell.labels.get(axis, "")) for cell in cells.cells)
            if any(found.setdefault(key, text) != text for key, text in texts):
                kept.append(axis)
    return tuple(kept)


def across(axis: str, axes: Sequence[str], cells: Sequence[Cell]) -> list[list[int]]:
    """The indices of cells that agree in all of `axes` but `axis`, group by group; each has two cells or more."""
    rest = [one for one in axes if one != axis]
    groups: dict[Key, list[int]] = {}
    for number, cell in enumerate(cells):
        groups.setdefault(key_of(cell.labels, rest), []).append(number)
    return [group for group in groups.values() if len(group) > 1]


def parse_against(terms: Sequence[str], cells: Cells, option: str) -> Mapping[str, str]:
    """`AXIS=VALUE` terms of `option`; raises UsageError for what is no axis of these cells, or no value of it."""
    found: dict[str, str] = {}
    for term in terms:
        axis, equals, value = (part.strip() for part in term.partition("="))
        if not equals or not axis:
            raise UsageError(f"{option} {shown(term)}: write AXIS=VALUE, e.g. loss=none")
        check_axis(option, axis, cells)
        known = cells.labels(axis)
        one = meant(dict.fromkeys(known, ()), value)
        value = one.pop() if len(one) == 1 else value
        if value not in known:
            close = nearest(value, known)
            way_out = f"did you mean {close!r}?" if close else f"it is one of {', '.join(known[:8])}"
            raise UsageError(f"{option} {shown(term)}: no picture has that {axis}; {way_out}")
        if found.setdefault(axis, value) != value:
            raise UsageError(f"{option} {shown(term)}: {axis} is {shown(found[axis])} already; name each axis once")
    return found


def check_axis(option: str, axis: str, cells: Cells) -> None:
    """Raise UsageError unless pictures differ in `axis`."""
    check_key(axis, cells)
    if axis not in cells.axes or len(cells.labels(axis)) < 2:
        raise UsageError(f"{option} {shown(axis)}: all pictures have the same; name one of {', '.join(cells.axes)}")


def references(cells: Cells, against: Mapping[str, str]) -> list[Cell | None]:
    """Of each cell the one that has what `against` says and is like it otherwise; None where there is none planned."""
    axes = independent(cells, tuple(against))
    known = {key_of(cell.labels, axes): cell for cell in cells.cells}
    return [known.get(tuple(against.get(axis, cell.labels.get(axis, "")) for axis in axes)) for cell in cells.cells]
