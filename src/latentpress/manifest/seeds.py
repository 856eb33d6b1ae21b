"""The field `seed`: a number, a range, or how many seeds are to be drawn and along which axes each is shared."""

from collections.abc import Sequence
from dataclasses import dataclass

from latentpress.errors import nearest, shown
from latentpress.manifest.field import WRONG, Reader
from latentpress.manifest.nodes import OWN_KEY, ListNode, MapNode, Node, Scalar, described
from latentpress.manifest.values import MAX_JOBS, check_range, given, is_none, parse_number, parse_range, parse_text

# As in torch, which ComfyUI draws its seeds for.
MAX_SEED = 2**64 - 1
DRAWN = -1
_KEYS = ("draw", "along")


@dataclass(frozen=True)
class ToDraw:
    """`count` seeds to be drawn, each shared along the axes named `along`, None for all.

    plain: written as -1, which was all that could be written when every picture had a draw of its own.
    """

    count: int = 1
    along: frozenset[str] | None = None
    plain: bool = False


def parse_seeds(node: Node, reader: Reader) -> Sequence[int] | ToDraw | None:
    """One seed, the seeds of an inclusive range or of a list of both, or those still to be drawn."""
    if isinstance(node, MapNode):
        return _to_draw(node, reader)
    if isinstance(node, ListNode):
        return _listed(node, reader)
    if (values := parse_range(node)) is not None:
        return values if check_range(values, node, reader.problems) and check_seeds(values, node, reader) else None
    rule = (
        "a whole number from 0 to 2^64-1, a range such as 1000..1007, a list of them, "
        "or -1 or {draw: 4} to have seeds drawn"
    )
    seed = parse_number("seed", node, reader.problems, DRAWN, MAX_SEED, whole=True, rule=rule)
    if seed == DRAWN:
        return ToDraw(plain=True)
    return None if seed is None else (int(seed),)


def _listed(node: ListNode, reader: Reader) -> Sequence[int] | None:
    """The seeds of a list of seeds and ranges, each once."""
    if not node.items:
        reader.problems.add(node.place, "seed is an empty list; write seeds into it, such as [1, 5, 9..12]")
        return None
    found: dict[int, None] = {}
    for item in node.items:
        if isinstance(item, ListNode) or is_drawn(item):
            what = described(item)
            message = f"a list of seeds holds {what}; write numbers and ranges, or {{draw: 2}} in place of the list"
            reader.problems.add(item.place, message)
            return None
        seeds = parse_seeds(item, reader)
        if seeds is None or isinstance(seeds, ToDraw):
            return None
        if len(found) + len(seeds) > MAX_JOBS:
            reader.problems.add(item.place, f"the list holds more than {MAX_JOBS:,} seeds; split the manifest")
            return None
        if twice := found.keys() & set(seeds):
            reader.problems.add(item.place, f"seed {min(twice)} is listed twice; write it once")
            return None
        found |= dict.fromkeys(seeds)
    return tuple(found)


def check_seeds(values: range, node: Scalar, reader: Reader) -> bool:
    """Whether a range of seeds ends at 2^64-1, the largest one, or before; reports it otherwise."""
    if values[-1] > MAX_SEED:
        reader.problems.add(node.place, f"range {node.text} passes 2^64-1, the largest seed; start from a smaller one")
    return values[-1] <= MAX_SEED


def is_drawn(node: Node) -> bool:
    """Whether the node of a seed asks for a draw."""
    return isinstance(node, MapNode) or (isinstance(node, Scalar) and node.value == DRAWN)


def _to_draw(node: MapNode, reader: Reader) -> ToDraw | None:
    problems, known = reader.problems, given(node)
    for key in node.values.keys() - set(_KEYS):
        problems.unknown_key(node.keys[key], _KEYS, "seed")
    if "draw" not in known:
        problems.add(node.place, "seed is a map without draw, how many seeds to draw; write {draw: 1}")
        return None
    rule = f"how many seeds to draw, a whole number from 1 to {MAX_JOBS:,}"
    count = parse_number("draw", known["draw"], problems, 1, MAX_JOBS, whole=True, rule=rule)
    along = _along(known["along"], reader) if "along" in known else None
    wrong = (
        count is None or along is WRONG or any(not key.startswith(OWN_KEY) for key in node.values.keys() - set(_KEYS))
    )
    return None if wrong else ToDraw(int(count or 0), along)


def _along(node: Node, reader: Reader) -> frozenset[str] | None:
    """The axes along which a draw is shared, None for all of them; WRONG once a mistake is reported."""
    if is_none(node):
        return frozenset()
    if isinstance(node, Scalar) and node.text == "all":
        return None
    if isinstance(node, MapNode):
        way_out = "write the name of an axis, a list of names, all or none"
        reader.problems.add(node.place, f"along is {described(node)}; {way_out}")
        return WRONG
    found: set[str] = set()
    for item in node.items if isinstance(node, ListNode) else [node]:
        name = parse_text("along", item, reader.problems)
        if name is None or not _is_axis(name, item, reader):
            return WRONG
        found.add(name)
    return frozenset(found)


def _is_axis(name: str, node: Node, reader: Reader) -> bool:
    """Whether the matrix has an axis of this name along which a seed can be shared; reports it otherwise."""
    axes = [axis for axis in reader.axes if axis != "seed"]
    if name in axes:
        return True
    if name == "seed":
        what = "along names seed, and a seed cannot be shared along seeds; name other axes, or write none"
    else:
        close = nearest(name, axes)
        known = f"the axes are {', '.join(axes)}" if axes else "leave it out, for the matrix has no axis to share along"
        hint = f"did you mean {close!r}?" if close else known
        what = f"along names {shown(name)}, which is no axis of the matrix; {hint}"
    reader.problems.add(node.place, what)
    return False
