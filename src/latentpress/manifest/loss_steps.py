"""How a loss moves the picture, as a manifest writes it: `step` and `method` in a loss's map, and what belongs to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from latentpress.manifest.nodes import Node, Problems, Scalar, described
from latentpress.manifest.values import parse_choice, parse_number
from latentpress.runtime.guidance.step import METHODS, STEPS

LOSS_CAPS, LOSS_SIZES, LOSS_SPREADS = (0.001, 1.0), (0.0001, 10.0), (0.0001, 1.0)
LOSS_ITERATIONS, LOSS_SAMPLES = (2, 50), (2, 100)
STEP_KEYS = ("step", "cap", "size", "warm_up", "clamp", "method", "iterations", "samples", "spread")

_CHOICES = {"step": STEPS, "method": METHODS}


@dataclass(frozen=True)
class _Number:
    """A number in a loss's map: its bounds, the rule in words, and the choice that alone takes it, ("", "") for any."""

    bounds: tuple[float, float]
    rule: str
    owner: tuple[str, str] = ("", "")
    whole: bool = False


_NUMBERS = {
    "cap": _Number(LOSS_CAPS, "a share of x0 from 0.001 to 1", ("step", "capped")),
    "size": _Number(LOSS_SIZES, "a share of the noise from 0.0001 to 10", ("step", "rms")),
    "warm_up": _Number((0.0, 1.0), "a fraction of the steps from 0 to 1"),
    "iterations": _Number(LOSS_ITERATIONS, "a whole number from 2 to 50", ("method", "x0_iter"), whole=True),
    "samples": _Number(LOSS_SAMPLES, "a whole number from 2 to 100", ("method", "x0_mc"), whole=True),
    "spread": _Number(LOSS_SPREADS, "a number from 0.0001 to 1", ("method", "x0_mc")),
}


class StepFields(TypedDict, total=False):
    """As `LossSpec` has them; what is not written is not there."""

    step: str
    cap: float
    size: float
    warm_up: float
    clamp: bool
    method: str
    iterations: int
    samples: int
    spread: float


def parse_step(values: Mapping[str, Node], problems: Problems) -> StepFields | None:
    """What the map of a loss says of its step and method; None where something is wrong with it, which is reported."""
    before, found = problems.count, StepFields()
    chosen = {
        key: parse_choice(f"loss {key}", values[key], problems, known) if key in values else ""
        for key, known in _CHOICES.items()
    }
    if step := chosen["step"]:
        found["step"] = step
    if (method := chosen["method"]) and method != METHODS[0]:  # which is the default for ever, unlike that of `step`
        found["method"] = method
    for key, kind in _NUMBERS.items():
        if key not in values:
            continue
        what, owner = kind.owner
        has = chosen[what] if what else ""
        if has is not None and owner and owner != (has or _CHOICES[what][0]):
            is_now = f"{what} is {has}" if has else f"{what} is by default {_CHOICES[what][0]}"
            problems.add(
                values[key].place,
                f"loss {key} is for {what} {owner}, and {is_now}; take it out, or write {what}: {owner}",
            )
        elif (
            number := parse_number(f"loss {key}", values[key], problems, *kind.bounds, whole=kind.whole, rule=kind.rule)
        ) is not None:
            found[key] = int(number) if kind.whole else float(number)
    if "clamp" in values:
        node = values["clamp"]
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            found["clamp"] = node.value
        else:
            problems.add(node.place, f"loss clamp is {described(node)}; it must be true or false")
    return found if problems.count == before else None
