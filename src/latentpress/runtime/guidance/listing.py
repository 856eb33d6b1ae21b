"""The losses as `latentpress losses` lists them, as text and as data."""

from collections.abc import Iterator, Mapping
from typing import Any

from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.loss import Loss, LossParams


def loss_data() -> list[dict[str, object]]:
    """What `latentpress losses --json` prints: one entry a loss, in the order of the table."""
    return [
        {
            "name": loss.name,
            "does": loss.does,
            "formula": loss.formula,
            "range": loss.range,
            "parameters": _parameters(loss.params),
            "pictures": list(loss.pictures),
            "folders": list(loss.folders),
            "negative_scale": loss.both_ways,
            "start": loss.start,
            "takes": [*(["image"] if loss.looks else []), *sorted(loss.wants)],
            "source": loss.source,
        }
        for loss in LOSSES.values()
    ]


def loss_lines(scales: Mapping[str, str]) -> Iterator[str]:
    """The same for people: a few lines for each loss. scales: of some the scales that are of use."""
    for loss in LOSSES.values():
        yield f"{loss.name}: {loss.does}"
        yield f"    {loss.formula}"
        yield f"    range: {loss.range}{'; the scale may be negative' if loss.both_ways else ''}"
        if loss.name in scales:
            yield f"    useful scales: {scales[loss.name]}"
        if own := parameter_texts(loss):
            yield f"    parameters: {', '.join(own)}"
        if loss.start:
            yield f"    acts from {loss.start:g} of the steps on, unless start says otherwise"
        yield f"    source: {loss.source}"


def parameter_texts(loss: Loss) -> list[str]:
    """Each parameter with its default and what it may be: `target (0.9; 0 to 1)`."""
    files = [f"{name} (a file)" for name in loss.pictures] + [f"{name} (a folder)" for name in loss.folders]
    return [*files, *(_text(one) for one in _parameters(loss.params))]


def _parameters(model: type[LossParams]) -> list[dict[str, Any]]:
    """Of each its name, its default, null for none, and what bounds it: `minimum` and `maximum`, or `choices`."""
    found: list[dict[str, Any]] = []
    for name, schema in model.model_json_schema().get("properties", {}).items():
        bounds: Mapping[str, Any] = schema.get("anyOf", [schema])[0]
        one = {"name": name, "default": schema.get("default")}
        low, high = (bounds.get(key, bounds.get(f"exclusive{key.capitalize()}")) for key in ("minimum", "maximum"))
        if "enum" in bounds:
            one["choices"] = list(bounds["enum"])
        elif low is not None and high is not None:
            one |= {"minimum": low, "maximum": high}
        found.append(one)
    return found


def _text(one: Mapping[str, Any]) -> str:
    default = one["default"]
    said = "none" if default is None else default if isinstance(default, str) else f"{default:g}"
    said = said or "empty"
    if "choices" in one:
        said += "; " + ", ".join(choice for choice in one["choices"] if choice != default)
    elif "minimum" in one:
        said += f"; {one['minimum']:g} to {one['maximum']:g}"
    return f"{one['name']} ({said})"
