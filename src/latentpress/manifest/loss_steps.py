"""How a loss moves the picture, as a manifest writes it: `step`, `cap`, `size`, `warm_up` and `clamp` in a loss's map."""

from collections.abc import Mapping
from typing import TypedDict

from latentpress.manifest.nodes import Node, Problems, Scalar, described
from latentpress.manifest.values import parse_choice, parse_number
from latentpress.runtime.guidance.step import STEPS

LOSS_CAPS, LOSS_SIZES = (0.001, 1.0), (0.0001, 10.0)
STEP_KEYS = ("step", "cap", "size", "warm_up", "clamp")

# Bounds, the step that alone takes it, and the rule in words.
_NUMBERS = {
    "cap": (LOSS_CAPS, "capped", "a share of x0 from 0.001 to 1"),
    "size": (LOSS_SIZES, "rms", "a share of the noise from 0.0001 to 10"),
    "warm_up": ((0.0, 1.0), "", "a fraction of the steps from 0 to 1"),
}


class StepFields(TypedDict, total=False):
    """As `LossSpec` has them; what is not written is not there."""

    step: str
    cap: float
    size: float
    warm_up: float
    clamp: bool


def parse_step(values: Mapping[str, Node], problems: Problems) -> StepFields | None:
    """What the map of a loss says of its step; None where something is wrong with it, which is reported."""
    before, found = problems.count, StepFields()
    step = parse_choice("loss step", values["step"], problems, STEPS) if "step" in values else ""
    if step:
        found["step"] = step
    for key, (bounds, owner, rule) in _NUMBERS.items():
        if key not in values:
            continue
        if step is not None and owner and owner != (step or STEPS[0]):
            has = f"step is {step}" if step else f"step is by default {STEPS[0]}"
            problems.add(
                values[key].place, f"loss {key} is for step {owner}, and {has}; take it out, or write step: {owner}"
            )
        elif (number := parse_number(f"loss {key}", values[key], problems, *bounds, rule=rule)) is not None:
            found[key] = float(number)
    if "clamp" in values:
        node = values["clamp"]
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            found["clamp"] = node.value
        else:
            problems.add(node.place, f"loss clamp is {described(node)}; it must be true or false")
    return found if problems.count == before else None
