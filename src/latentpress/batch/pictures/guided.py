"""What losses did to a picture, as its metadata and its row in the ledger keep it: plain data, made, checked and judged.

    {"steps": [0, 5], "moved": [0.3, 0.21], "losses": [{"name": "symmetry", "before": [0.041, 0.018], "after": 0.012}]}

steps: the picture's steps in which a loss acted, from 0; moved: how far x0 moved in each, as a share of |x0|; before: a
loss's unscaled value on what the step began with, null where it did not act; after: its value on the finished picture. What
a move came to is what the next guided step begins with. Numbers have six digits; what is not finite is null.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from latentpress.runtime.request import Rendered

Guided = Mapping[str, Any]

# By so large a share of what it was a loss is worse before anyone is told of it.
WORSE = 0.01
_DIGITS = 6


def guided_data(rendered: Rendered[Any]) -> Guided | None:
    """What losses did to a finished picture; None where there were none."""
    if not rendered.losses:
        return None
    return {
        "steps": [one.step for one in rendered.guided],
        "moved": [_number(one.share) for one in rendered.guided],
        "losses": [
            {"name": name, "before": [_number(one.values[place]) for one in rendered.guided], "after": _number(after)}
            for place, (name, after) in enumerate(rendered.losses)
        ],
    }


def guided_claimed(data: Any) -> Guided | None:
    """What a picture says that losses did to it, if it is such data; a picture may say anything."""
    if not isinstance(data, dict) or data.keys() != {"steps", "moved", "losses"}:  # pyright: ignore[reportUnknownMemberType]
        return None
    found: dict[str, Any] = data
    steps, moved, losses = (found[key] for key in ("steps", "moved", "losses"))
    if not (_numbers(steps, int) and _numbers(moved) and isinstance(losses, list) and len(steps) == len(moved)):
        return None
    each: list[Any] = losses
    return found if all(_is_loss(one, len(steps)) for one in each) else None


def losses_of(guided: Guided | None) -> list[tuple[str, float]]:
    """(name, value on the picture) of each loss, as `Rendered.losses` has them, if all are known."""
    found = [(one["name"], one["after"]) for one in guided["losses"]] if guided else []
    return [] if any(value is None for _, value in found) else found


def scales_in(request: Mapping[str, Any]) -> list[float]:
    """The scale of each loss of a request as plain data, which may say anything."""
    losses: Any = request.get("losses")
    found: list[float] = []
    for one in losses if isinstance(losses, list) else []:  # pyright: ignore[reportUnknownVariableType]
        scale: Any = one.get("scale") if isinstance(one, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        found.append(float(scale) if type(scale) in (int, float) else 1.0)
    return found


def went_wrong(guided: Guided, scales: Sequence[float], twins: Sequence[float | None] | None = None) -> list[str]:
    """The names of losses that are worse by more than WORSE than they were: higher, or lower where their scale is negative.

    twins: their values on the picture's unguided twin, with which the finished picture is compared, None of one that is not
    known; without, with what the first of its guided steps began with.
    """
    found: list[str] = []
    for place, (scale, said) in enumerate(zip(scales, guided["losses"], strict=False)):
        first = next((value for value in said["before"] if value is not None), None)
        beside = twins[place] if twins is not None and twins[place] is not None else first
        if beside is None or said["after"] is None:
            continue
        worse = said["after"] - beside if scale > 0 else beside - said["after"]
        if worse > WORSE * abs(beside):
            found.append(said["name"])
    return found


def guided_lines(guided: Guided) -> list[tuple[str, str]]:
    """(name, what became of it) of each loss, for people."""
    found: list[tuple[str, str]] = []
    for loss in guided["losses"]:
        acted = [
            (step, value) for step, value in zip(guided["steps"], loss["before"], strict=True) if value is not None
        ]
        ends = dict([*acted[:1], *acted[-1:]])
        told = [f"{value:.4g} at step {step}" for step, value in ends.items()]
        after = "unknown" if loss["after"] is None else f"{loss['after']:.4g}"
        found.append((loss["name"], ", ".join([*told, f"{after} on the picture"])))
    return found


def drift_of(text: str | None, pixels: str | None) -> dict[str, Any] | None:
    """What a row of the ledger keeps of the drift of a picture with these pixels; None where that is of others."""
    said: dict[str, Any] | None = json.loads(text) if text else None
    return said if said is not None and said["pixels"][0] == pixels else None


def loss_figures(guided: Guided | None, drift: Mapping[str, Any] | None) -> dict[str, float]:
    """What losses did as numbers of one picture, by the names of columns; drift: as `drift_of` gives it.

    `loss_NAME` is the value on the picture, `loss_NAME_change` that less the value on its unguided twin, or, where that is
    not known, less the value before the first guided step; `drift_psnr` and `drift_ssim` are to the twin.
    """
    found: dict[str, float | None] = {}
    unguided: list[float | None] = drift["losses"] if drift else []
    each: list[dict[str, Any]] = guided["losses"] if guided else []
    for place, loss in enumerate(each):
        name, after = f"loss_{loss['name']}", loss["after"]
        first = next((value for value in loss["before"] if value is not None), None)
        beside = unguided[place] if place < len(unguided) and unguided[place] is not None else first
        found[name] = after
        found[f"{name}_change"] = None if beside is None or after is None else _number(after - beside)
    if drift:
        found |= {f"drift_{key}": drift[key] for key in ("psnr", "ssim")}
    return {name: value for name, value in found.items() if value is not None}


def _number(value: float | None) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if value is not None and math.isfinite(value) else None


def _is_loss(one: Any, steps: int) -> bool:
    if not isinstance(one, dict) or one.keys() != {"name", "before", "after"}:  # pyright: ignore[reportUnknownMemberType]
        return False
    said: dict[str, Any] = one
    return (
        isinstance(said["name"], str)
        and _numbers(said["before"])
        and len(said["before"]) == steps
        and _numbers([said["after"]])
    )


def _numbers(values: Any, *kinds: type) -> bool:
    """Whether it is a list of finite numbers, or of none; kinds: those that are meant, without None."""
    if not isinstance(values, list):
        return False
    each: list[Any] = values
    return all(type(one) in (kinds or (int, float, type(None))) and (one is None or math.isfinite(one)) for one in each)
