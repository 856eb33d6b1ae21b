"""The fields of a job: from a manifest's node to a checked value. Each parser reports its mistakes and returns None."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from pydantic import BaseModel, ValidationError

from latentpress.errors import UsageError, shown
from latentpress.manifest.mode_fields import MODE_FIELDS
from latentpress.manifest.nodes import MapNode, Node, Problems, Scalar, described
from latentpress.manifest.values import Field, check_range, is_none, parse_number, parse_range, parse_size, parse_text
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.request import LossSpec
from latentpress.runtime.sampling.samplers import canonical_sampler

MAX_SEED = 2**63 - 1
MAX_STEPS = 1000
# The weight the published notebooks use for their colour and edge losses.
DEFAULT_LOSS_SCALE = 200.0
DRAWN = -1

_LOSS_KEYS = ("name", "scale", "every", "start", "stop")


def parse_seeds(node: Node, problems: Problems) -> Sequence[int] | None:
    """One seed, or the seeds of an inclusive range; -1 stands for one still to be drawn."""
    if isinstance(node, Scalar) and (values := parse_range(node)) is not None:
        return values if check_range(values, node, problems) else None
    rule = "a whole number from 0 to 2^63-1, a range such as 1000..1007, or -1 to have one drawn"
    seed = parse_number("seed", node, problems, DRAWN, MAX_SEED, whole=True, rule=rule)
    return None if seed is None else (int(seed),)


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


def parse_losses(node: Node, problems: Problems, losses: Mapping[str, Loss] = LOSSES) -> tuple[LossSpec, ...] | None:
    """No loss, one of `losses` by name, one with parameters, or a list of those."""
    if isinstance(node, Scalar):
        if is_none(node):
            return ()
        loss = _loss(node, None, problems, losses)
        return loss and (loss,)
    if isinstance(node, MapNode):
        name = node.values.get("name")
        if not isinstance(name, Scalar):
            problems.add(node.place, "loss has no name; write {name: canny, scale: 200}")
            return None
        loss = _loss(name, node, problems, losses)
        return loss and (loss,)
    parsed = [parse_losses(item, problems, losses) for item in node.items]
    return None if None in parsed else tuple(loss for some in parsed if some for loss in some)


def _loss(name: Scalar, given: MapNode | None, problems: Problems, losses: Mapping[str, Loss]) -> LossSpec | None:
    loss = losses.get(name.text)
    if loss is None:
        close = get_close_matches(name.text, losses, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known losses: {', '.join(losses)}, none"
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
    params = _loss_params(name.text, loss.params, given, problems)
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


FIELDS: dict[str, Field] = {
    "prompt": Field(lambda node, problems: parse_text("prompt", node, problems)),
    "negative_prompt": Field(lambda node, problems: parse_text("negative_prompt", node, problems)),
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
    **MODE_FIELDS,
}


def loss_text(losses: tuple[LossSpec, ...], *, scales: bool = False) -> str:
    """What a loss is called in names and labels: `none`, `canny`, `canny+blue`, with scales `canny-200`."""
    return "+".join(f"{loss.name}-{loss.scale:g}" if scales else loss.name for loss in losses) or "none"
