"""The field `timesteps`: a list of falling training timesteps, one of each step. Knows no checkpoint's schedule."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from latentpress.manifest.field import Reader, Values
from latentpress.manifest.nodes import ListNode, Node, Scalar, described
from latentpress.manifest.values import MAX_STEPS, not_given, parse_number


def parse_timesteps(node: Node, reader: Reader) -> tuple[int, ...] | None:
    """Whole numbers >= 0, each smaller than the one before; how large the first may be, the checkpoint says."""
    problems = reader.problems
    if not isinstance(node, ListNode) or not node.items:
        what = described(node) if not isinstance(node, ListNode) else "an empty list"
        message = (
            f"timesteps is {what}; it must be a list such as [999, 749, 499, 249], and as an axis a list of such lists"
        )
        problems.add(node.place, message)
        return None
    if len(node.items) > MAX_STEPS:
        problems.add(node.place, f"timesteps are {len(node.items):,}; a picture takes at most {MAX_STEPS} steps")
        return None
    rule = "a whole number from 0 up, such as 999"
    found = [parse_number("a timestep", item, problems, 0, float("inf"), whole=True, rule=rule) for item in node.items]
    values = [int(value) for value in found if value is not None]
    if len(values) < len(found):
        return None
    for item, (earlier, later) in zip(node.items[1:], itertools.pairwise(values), strict=True):
        if later >= earlier:
            message = f"timestep {later} comes after {earlier}; each must be smaller than the one before"
            problems.add(item.place, message)
            return None
    return tuple(values)


def timesteps_text(timesteps: Sequence[int | str]) -> str:
    """How names, sheets and A1111's text show them."""
    return "-".join(map(str, timesteps)) or "none"


def written_timesteps(node: ListNode) -> str:
    """The same of a list as it is written, whether or not it can be read."""
    return timesteps_text([item.text for item in node.items if isinstance(item, Scalar)])


def counted_steps(values: Values, nodes: Mapping[str, Node], reader: Reader) -> dict[str, Any] | None:
    """The `steps` that given timesteps come to, if they are; None once it is reported that others are asked for.

    nodes: where the manifest sets the fields.
    """
    timesteps, steps = values["timesteps"], nodes.get("steps")
    if not timesteps:
        return {}
    if steps is not None and not not_given(steps) and values["steps"] != len(timesteps):
        message = (
            f"timesteps are {len(timesteps):,}, and steps is {values['steps']}; "
            "leave steps out, or switch it off with `steps: null`"
        )
        reader.problems.add(nodes["timesteps"].place, message)
        return None
    return {"steps": len(timesteps)}
