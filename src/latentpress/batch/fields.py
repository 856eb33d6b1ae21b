"""The fields of a job: from a manifest's node to a checked value. Each parser reports its mistakes and returns None."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic import BaseModel, ValidationError

from latentpress.batch.yaml_nodes import ListNode, MapNode, Node, Problems, Scalar, described, shown
from latentpress.errors import UsageError
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.request import LossSpec
from latentpress.runtime.schedule import canonical_sampler

MAX_SEED = 2**63 - 1
MAX_SIDE = 8192
MAX_STEPS = 1000
MAX_JOBS = 1_000_000
# The weight the published notebooks use for their colour and edge losses.
DEFAULT_LOSS_SCALE = 200.0
DRAWN = -1

_RANGE = re.compile(r"([0-9]+)\.\.([0-9]+)")
_SIZE = re.compile(r"([0-9]+)\s*[xX×]\s*([0-9]+)")
_LOSS_KEYS = ("name", "scale", "every", "start", "stop")


def parse_range(node: Scalar) -> range | None:
    """The integers of an inclusive `a..b`, None when the scalar is not one; backwards ranges are empty."""
    match = _RANGE.fullmatch(node.text) if node.plain and len(node.text) <= 60 else None
    return range(int(match[1]), int(match[2]) + 1) if match else None


def check_range(values: range, node: Scalar, problems: Problems) -> bool:
    """Whether a range holds a sensible number of integers; reports it otherwise."""
    if not values:
        problems.add(node.place, f"range {node.text} runs backwards; write the smaller end first")
    elif values.stop - values.start > MAX_JOBS:
        problems.add(node.place, f"range {node.text} holds more than {MAX_JOBS:,} values; split the manifest")
    else:
        return True
    return False


def parse_text(name: str, node: Node, problems: Problems) -> str | None:
    """A scalar's own text; text that UTF-8 cannot write is refused."""
    if not isinstance(node, Scalar):
        problems.add(node.place, f"{name} is {described(node)}; it must be text")
        return None
    if any(0xD800 <= ord(char) <= 0xDFFF for char in node.text) or "\0" in node.text:
        problems.add(
            node.place, f"{name} holds a character that no file can carry (a lone surrogate or NUL); remove it"
        )
        return None
    return node.text


def parse_number(
    name: str, node: Node, problems: Problems, low: float, high: float, *, whole: bool = False, rule: str
) -> float | None:
    """A number within low..high; `rule` says in words what is allowed."""
    value = node.value if isinstance(node, Scalar) else None
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value) or not low <= value <= high:
        problems.add(node.place, f"{name} is {described(node)}; it must be {rule}")
        return None
    return value


def parse_seeds(node: Node, problems: Problems) -> Sequence[int] | None:
    """One seed, or the seeds of an inclusive range; -1 stands for one still to be drawn."""
    if isinstance(node, Scalar) and (values := parse_range(node)) is not None:
        return values if check_range(values, node, problems) else None
    rule = "a whole number from 0 to 2^63-1, a range such as 1000..1007, or -1 to have one drawn"
    seed = parse_number("seed", node, problems, DRAWN, MAX_SEED, whole=True, rule=rule)
    return None if seed is None else (int(seed),)


def parse_size(node: Node, problems: Problems) -> tuple[int, int] | None:
    """(height, width) in pixels from `WxH`, [w, h] or one side."""
    sides: list[int] = []
    if isinstance(node, Scalar):
        if match := _SIZE.fullmatch(node.text.strip()):
            sides = [int(match[1]), int(match[2])] if len(node.text) < 60 else []
        elif isinstance(node.value, int) and not isinstance(node.value, bool):
            sides = [node.value, node.value]
    elif isinstance(node, ListNode) and len(node.items) == 2:
        values = [item.value for item in node.items if isinstance(item, Scalar)]
        sides = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    if len(sides) != 2:
        problems.add(node.place, f"size is {described(node)}; write it as 512x512, [512, 512] or 512")
        return None
    width, height = sides
    shown_size = f"{width}x{height}"
    if not all(8 <= side <= MAX_SIDE for side in sides):
        problems.add(node.place, f"size is {shown_size}; both sides must be from 8 to {MAX_SIDE} pixels")
        return None
    if width % 8 or height % 8:
        near = "x".join(str(max(8, (side + 4) // 8 * 8)) for side in sides)
        problems.add(node.place, f"size is {shown_size}; both sides must be multiples of 8, e.g. {near}")
        return None
    return height, width


def parse_sampler(node: Node, problems: Problems) -> str | None:
    """A sampler's canonical name."""
    text = parse_text("sampler", node, problems)
    if text is None:
        return None
    try:
        return canonical_sampler(text)
    except UsageError as error:
        problems.add(node.place, str(error))
        return None


def parse_losses(node: Node, problems: Problems) -> tuple[LossSpec, ...] | None:
    """No loss, one by name, one with parameters, or a list of those."""
    if isinstance(node, Scalar):
        if node.value in (None, False) or (node.plain and node.text.lower() in ("none", "no", "off", "false")):
            return ()
        loss = _loss(node, None, problems)
        return loss and (loss,)
    if isinstance(node, MapNode):
        name = node.values.get("name")
        if not isinstance(name, Scalar):
            problems.add(node.place, "loss has no name; write {name: canny, scale: 200}")
            return None
        loss = _loss(name, node, problems)
        return loss and (loss,)
    parsed = [parse_losses(item, problems) for item in node.items]
    return None if None in parsed else tuple(loss for losses in parsed if losses for loss in losses)


def _loss(name: Scalar, given: MapNode | None, problems: Problems) -> LossSpec | None:
    model = LOSSES.get(name.text)
    if model is None:
        close = get_close_matches(name.text, LOSSES, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known losses: {', '.join(LOSSES)}, none"
        problems.add(name.place, f"unknown loss {shown(name.text)}; {hint}")
        return None
    values = given.values if given else {}

    def number(key: str, default: float, low: float, high: float, rule: str, whole: bool = False) -> float | None:
        if key not in values:
            return default
        return parse_number(f"loss {key}", values[key], problems, low, high, whole=whole, rule=rule)

    scale = number("scale", DEFAULT_LOSS_SCALE, 1e-12, 1e9, "a number greater than 0")
    every = number("every", 5, 1, MAX_STEPS, f"a whole number of steps from 1 to {MAX_STEPS}", whole=True)
    start = number("start", 0.0, 0.0, 1.0, "a fraction of the steps from 0 to 1")
    stop = number("stop", 1.0, 0.0, 1.0, "a fraction of the steps from 0 to 1")
    if start is not None and stop is not None and start >= stop:
        place = (values.get("stop") or values.get("start") or name).place
        problems.add(place, f"loss start {start:g} is not below stop {stop:g}; both are fractions of the steps")
        return None
    params = _loss_params(name.text, model, given, problems)
    if scale is None or every is None or start is None or stop is None or params is None:
        return None
    return LossSpec(name.text, float(scale), int(every), float(start), float(stop), params)


def _loss_params(
    name: str, model: type[BaseModel], given: MapNode | None, problems: Problems
) -> Mapping[str, float | str] | None:
    values: dict[str, object] = {}
    for key, node in given.values.items() if given else ():
        if key in _LOSS_KEYS:
            continue
        if key not in model.model_fields and given:
            problems.unknown_key(given.keys[key], [*_LOSS_KEYS, *model.model_fields], f"loss {name}")
        elif not isinstance(node, Scalar):
            problems.add(node.place, f"{key} of loss {name} is {described(node)}; it must be a number or text")
        else:
            values[key] = node.value
            continue
        return None
    try:
        return model.model_validate(values).model_dump()
    except ValidationError as error:
        for detail in error.errors():
            key = str(detail["loc"][0]) if detail["loc"] else ""
            node = given.values.get(key, given) if given else None
            if node:
                said = f"{key} of loss {name} is {described(node)}" if key in values else f"loss {name}"
                problems.add(node.place, f"{said}: {detail['msg'][:1].lower()}{detail['msg'][1:]}")
        return None


@dataclass(frozen=True)
class Field:
    """One field of a job: how it is read, and what it is when no one gives it."""

    parse: Callable[[Node, Problems], object]
    default: object = None


FIELDS: dict[str, Field] = {
    "prompt": Field(lambda node, problems: parse_text("prompt", node, problems)),
    "negative_prompt": Field(lambda node, problems: parse_text("negative_prompt", node, problems), ""),
    "seed": Field(parse_seeds, (0,)),
    "size": Field(parse_size),
    "sampler": Field(parse_sampler, "euler"),
    "steps": Field(
        lambda node, problems: parse_number(
            "steps", node, problems, 1, MAX_STEPS, whole=True, rule=f"a whole number from 1 to {MAX_STEPS}"
        ),
        30,
    ),
    "guidance_scale": Field(
        lambda node, problems: parse_number("guidance_scale", node, problems, 0, 1000, rule="a number from 0 to 1000"),
        7.5,
    ),
    "loss": Field(parse_losses, ()),
}


def loss_text(losses: tuple[LossSpec, ...], *, scales: bool = False) -> str:
    """What a loss is called in names and labels: `none`, `canny`, `canny+blue`, with scales `canny-200`."""
    return "+".join(f"{loss.name}-{loss.scale:g}" if scales else loss.name for loss in losses) or "none"
