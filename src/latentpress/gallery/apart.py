"""What several folders of a gallery have in common, and what only one of them has. Reads no file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Longer values, and more of them, are counted, and so are those with commas, which would not be told apart.
_SHORT, _LISTED = 40, 6


@dataclass(frozen=True)
class Apart:
    """common: the axes of which all folders share a value; said: what only some folders have, a sentence for each axis."""

    common: tuple[str, ...]
    said: tuple[str, ...]


def apart(values: Mapping[str, Mapping[str, Sequence[str]]]) -> Apart:
    """What folders have in common; values: axis -> folder's name -> the values that it has there, none where it has no
    such axis."""
    common: list[str] = []
    said: list[str] = []
    for axis, found in values.items():
        having = {name: own for name, own in found.items() if own}
        shared = set[str].intersection(*map(set, found.values()))
        if shared:
            common.append(axis)
        if len(having) < len(found):
            said.append(f"only {' and '.join(having)} {'has' if len(having) == 1 else 'have'} the axis {axis}")
            continue
        # What two of three folders have is not said: it would be a list for each set of folders.
        counts = Counter(one for own in found.values() for one in set(own))
        alone = {name: [one for one in own if counts[one] == 1] for name, own in found.items()}
        short = all(len(one) <= _SHORT and "," not in one for own in alone.values() for one in own)
        listed = _listed if short else _counted
        parts = [f"only {name} has {listed(own, bool(shared))}" for name, own in alone.items() if own]
        if parts:
            said.append(f"of {axis} {' and '.join(parts)}")
    return Apart(tuple(common), tuple(said))


def _listed(values: Sequence[str], others: bool) -> str:
    more = f" and {len(values) - _LISTED:,} more" if len(values) > _LISTED else ""
    return ", ".join(one or "none" for one in values[:_LISTED]) + more


def _counted(values: Sequence[str], others: bool) -> str:
    return f"{len(values):,} {'other ' if others else ''}value{'' if len(values) == 1 else 's'}"
