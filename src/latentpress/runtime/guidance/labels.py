"""What each of a picture's losses is called where several are told apart: values in the ledger, tables, metadata."""

from collections import Counter
from collections.abc import Iterator, Sequence

from latentpress.runtime.request import LossSpec

_SHARED = (
    *("scale", "every", "start", "stop"),
    *("step", "cap", "size", "warm_up", "clamp"),
    *("method", "iterations", "samples", "spread"),
)


def loss_labels(losses: Sequence[LossSpec]) -> tuple[str, ...]:
    """A label for each of `losses`, all different: its name; of several of one name also what tells them apart.

    `channel` alone, `channel(channel=red)` beside `channel(channel=blue)`. Those that are equal are numbered.
    """
    together = [[other for other in losses if other.name == loss.name] for loss in losses]
    found = [_label(loss, like, own=True) for loss, like in zip(losses, together, strict=True)]
    if len(set(found)) < len(found):
        found = [_label(loss, like, own=False) for loss, like in zip(losses, together, strict=True)]
    return tuple(_numbered(found))


def _label(loss: LossSpec, like: Sequence[LossSpec], *, own: bool) -> str:
    """own: whether its own parameters are all that is looked at."""
    known = [_parameters(other) for other in like]
    said = {name: value for name, value in _parameters(loss).items() if _differ([other.get(name) for other in known])}
    if not own:
        said |= {name: getattr(loss, name) for name in _SHARED if _differ([getattr(one, name) for one in like])}
    inside = " ".join(f"{name}={_said(value)}" for name, value in said.items())
    return f"{loss.name}({inside})" if inside else loss.name


def _said(value: float | str | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return (value or "default") if isinstance(value, str) else f"{value:g}"


def _parameters(loss: LossSpec) -> dict[str, float | str]:
    return {**loss.params, **{name: file.path.name for name, file in loss.files.items()}}


def _differ(values: Sequence[object]) -> bool:
    return any(value != values[0] for value in values)


def _numbered(labels: Sequence[str]) -> Iterator[str]:
    counts, seen = Counter(labels), Counter[str]()
    for label in labels:
        seen[label] += 1
        yield f"{label} {seen[label]}" if counts[label] > 1 else label
