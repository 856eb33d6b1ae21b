"""The field `loss`: no loss, one by name, one with parameters, or a list of those."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from latentpress.errors import UsageError, shown
from latentpress.manifest.field import Reader
from latentpress.manifest.loss_files import parse_loss_files
from latentpress.manifest.loss_steps import STEP_KEYS, parse_step
from latentpress.manifest.nodes import OWN_KEY, MapNode, Node, Scalar, described
from latentpress.manifest.values import MAX_STEPS, given, is_none, not_given, number_described, parse_number
from latentpress.runtime.guidance.loss import Loss, LossParams
from latentpress.runtime.request import MASK, LossSpec

# The weight the published notebooks use for their colour and edge losses.
DEFAULT_LOSS_SCALE = 200.0
LOSS_SCALES = (1e-12, 1e9)

LOSS_KEYS = ("name", "scale", "every", "start", "stop", MASK, *STEP_KEYS)


def parse_losses(node: Node, reader: Reader) -> tuple[LossSpec, ...] | None:
    """No loss, one by name, one with parameters, or a list of those."""
    if isinstance(node, Scalar):
        if is_none(node):
            return ()
        loss = _loss(node, None, reader)
        return loss and (loss,)
    if isinstance(node, MapNode):
        name = given(node).get("name")
        if not isinstance(name, Scalar):
            reader.problems.add(node.place, "loss has no name; write {name: canny, scale: 200}")
            return None
        if is_none(name):
            return ()
        loss = _loss(name, node, reader)
        return loss and (loss,)
    parsed = [parse_losses(item, reader) for item in node.items]
    return None if None in parsed else tuple(loss for losses in parsed if losses for loss in losses)


def _loss(name: Scalar, written: MapNode | None, reader: Reader) -> LossSpec | None:
    problems, known = reader.problems, reader.losses
    if name.text in reader.broken:
        return None
    try:
        loss = known.get(name.text)
    except UsageError as error:  # of an installed package
        problems.add(name.place, str(error))
        return None
    if loss is None:
        close = get_close_matches(name.text, known, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known losses: {', '.join(known)}, none"
        problems.add(name.place, f"unknown loss {shown(name.text)}; {hint}")
        return None
    values = given(written) if written else {}

    def number(key: str, default: float, low: float, high: float, rule: str, whole: bool = False) -> float | None:
        if key not in values:
            return default
        return parse_number(f"loss {key}", values[key], problems, low, high, whole=whole, rule=rule)

    scale = _scale(loss, values, reader)
    every = number("every", 5, 1, MAX_STEPS, f"a whole number of steps from 1 to {MAX_STEPS}", whole=True)
    start = number("start", loss.start, 0.0, 1.0, "a fraction of the steps from 0 to 1")
    stop = number("stop", 1.0, 0.0, 1.0, "a fraction of the steps from 0 to 1")
    if start is not None and stop is not None and start >= stop:
        place = (values.get("stop") or values.get("start") or name).place
        problems.add(place, f"loss start {start:g} is not below stop {stop:g}; both are fractions of the steps")
        return None
    params = _loss_params(name, loss, written, reader)
    how = parse_step(values, problems)
    files = parse_loss_files(loss, name, values, reader)
    if scale is None or every is None or start is None or stop is None or how is None:
        return None
    if params is None or files is None:
        return None
    return LossSpec(name.text, float(scale), int(every), float(start), float(stop), params, loss.code, files, **how)


def _scale(loss: Loss, values: Mapping[str, Node], reader: Reader) -> float | None:
    """The weight: above 0, or below it too where the loss makes sense both ways."""
    if (node := values.get("scale")) is None:
        return DEFAULT_LOSS_SCALE
    low, high = LOSS_SCALES
    if not loss.both_ways:
        return parse_number("loss scale", node, reader.problems, low, high, rule="a number above 0, from 1e-12 to 1e9")
    rule = "a number from 1e-12 to 1e9, or below 0 from -1e9 to -1e-12, which raises the loss"
    scale = parse_number("loss scale", node, reader.problems, -high, high, rule=rule)
    if scale is not None and abs(scale) < low:
        reader.problems.add(node.place, f"loss scale is {scale:g}; it must be {rule}")
        return None
    return scale


def _loss_params(at: Scalar, loss: Loss, written: MapNode | None, reader: Reader) -> Mapping[str, float | str] | None:
    problems, name, model = reader.problems, at.text, loss.params
    values: dict[str, object] = {}
    for key, node in written.values.items() if written else ():
        if key in LOSS_KEYS or key in loss.files or key.startswith(OWN_KEY):
            continue
        if key not in model.model_fields and written:
            problems.unknown_key(written.keys[key], [*LOSS_KEYS, *loss.files, *model.model_fields], f"loss {name}")
            return None
        if not_given(node):
            continue
        if not isinstance(node, Scalar):
            problems.add(node.place, f"{key} of loss {name} is {described(node)}; it must be a number or text")
            return None
        schema = _schema(model)[key]
        kinds = _kinds(schema)
        if kinds and kinds <= {"integer", "number"} and isinstance(node.value, bool | str):
            rule = _rule(schema, node.text) or "it must be a number"
            problems.add(node.place, f"{key} of loss {name} is {number_described(node)}; {rule}")
            return None
        numeric = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        values[key] = node.text if kinds == {"string"} and numeric else node.value
    try:
        return model.model_validate(values).complete()
    except ValidationError as error:
        for detail in error.errors():
            key = str(detail["loc"][0]) if detail["loc"] else ""
            node = written.values.get(key, written) if written else None
            if node and key in values:
                rule = _rule(_schema(model)[key], str(values[key])) or _said(detail)
                problems.add(node.place, f"{key} of loss {name} is {described(node)}; {rule}")
            elif detail["type"] == "missing":
                way_out = f"write {{name: {name}, {key}: ...}}"
                problems.add(written.place if written else at.place, f"loss {name} needs its {key}; {way_out}")
            elif node:
                problems.add(node.place, f"loss {name}: {detail['msg'][:1].lower()}{detail['msg'][1:]}")
        return None


@lru_cache(64)
def _schema(model: type[LossParams]) -> Mapping[str, Any]:
    """The JSON Schema of each parameter."""
    return model.model_json_schema()["properties"]


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """The types that JSON Schema has for a parameter, but for null."""
    return {one["type"] for one in schema.get("anyOf", [schema]) if "type" in one} - {"null"}


def _said(detail: ErrorDetails) -> str:
    """What a validator of ours says, in its own words, or pydantic."""
    own = detail.get("ctx", {}).get("error")
    if own is not None:
        return str(own)
    return "it must be text" if detail["type"] == "string_type" else detail["msg"].lower()


def _rule(schema: Mapping[str, Any], text: str) -> str | None:
    """What a parameter must be that has this JSON Schema, and is `text`; None where the schema does not say it."""
    schema = {**schema, **schema.get("anyOf", [{}])[0]}  # of one that may be left out, what it is where it is given
    if "enum" in schema:
        known = [str(value).lower() if isinstance(value, bool) else str(value) for value in schema["enum"]]
        close = get_close_matches(text, [value for value in schema["enum"] if isinstance(value, str)], 1)
        return f"did you mean {close[0]!r}?" if close else f"it must be one of {', '.join(known)}"
    if must_be := schema.get("must_be"):
        return f"it must be {must_be}"
    for low, high, between in (("minimum", "maximum", "from"), ("exclusiveMinimum", "exclusiveMaximum", "between")):
        if low in schema and high in schema:
            number = "a whole number" if schema["type"] == "integer" else "a number"
            to = "to" if between == "from" else "and"
            return f"it must be {number} {between} {schema[low]:g} {to} {schema[high]:g}"
    return None


def loss_text(losses: tuple[LossSpec, ...], *, scales: bool = False) -> str:
    """What a loss is called in names and labels: `none`, `canny`, `canny+blue`, with scales `canny-200`."""
    return "+".join(f"{loss.name}-{loss.scale:g}" if scales else loss.name for loss in losses) or "none"
