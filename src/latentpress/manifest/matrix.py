"""The manifest's `matrix`: axes of choices to combinations. Knows which fields exist, not what they come to."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from latentpress.errors import short, shown
from latentpress.manifest.fields import FIELDS, loss_text, parse_losses
from latentpress.manifest.nodes import ListNode, MapNode, Node, Problems, Scalar, described
from latentpress.manifest.values import MAX_JOBS, check_range, parse_range, parse_text


@dataclass
class Choice:
    """One value of one axis, or several combined: what it sets, and what it is called.

    fields: job field -> node; texts: placeholder -> its own text, for prompts; labels: placeholder -> what names and
    sheets show; aliases: placeholder -> every text by which `exclude` may mean it.
    """

    fields: dict[str, Node] = field(default_factory=dict[str, Node])
    texts: dict[str, str] = field(default_factory=dict[str, str])
    labels: dict[str, str] = field(default_factory=dict[str, str])
    aliases: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def merged(self, other: "Choice") -> "Choice":
        """Both choices at once."""
        return Choice(
            self.fields | other.fields,
            self.texts | other.texts,
            self.labels | other.labels,
            self.aliases | other.aliases,
        )

    def put(self, key: str, node: Node, text: str, label: str | None) -> None:
        """Set `key` to what `node` says; `text` is how it reads in a prompt, `label` (if any) in names."""
        if key in FIELDS:
            self.fields[key] = node
        self.texts[key] = text
        self.aliases[key] = {text} | ({label} if label else set())
        # What a seed comes to is only known when ranges are spread and seeds drawn, so only a label replaces it.
        if label or key != "seed":
            self.labels[key] = label or text


@dataclass(frozen=True)
class Matrix:
    """The combinations of the axes, in the order written, the last axis moving fastest."""

    combinations: tuple[Choice, ...] = (Choice(),)

    @property
    def variables(self) -> list[str]:
        """Every placeholder some combination fills."""
        return list(dict.fromkeys(key for choice in self.combinations for key in choice.texts))


def parse_matrix(node: Node, problems: Problems) -> Matrix:
    """Expand the matrix at `node`; mistakes go to `problems`."""
    if not isinstance(node, MapNode):
        problems.add(node.place, f"matrix is {described(node)}; it must be a map from each axis to a list of values")
        return Matrix()
    axes: list[list[Choice]] = []
    owner: dict[str, str] = {}
    for axis, values in node.values.items():
        if axis == "exclude":
            continue
        choices = _axis(axis, node.keys[axis], values, problems)
        axes.append(choices)
        for key in dict.fromkeys(key for choice in choices for key in choice.texts):
            if key in owner:
                message = (
                    f"{shown(key)} is set by the axes {shown(owner[key])} and {shown(axis)}; leave it to one of them"
                )
                problems.add(node.keys[axis].place, message)
            owner[key] = axis
    if math.prod(len(axis) for axis in axes) > MAX_JOBS:
        problems.add(node.place, f"the matrix has more than {MAX_JOBS:,} combinations; split the manifest")
        return Matrix()
    combined: list[Choice] = []
    for choices in itertools.product(*axes):
        whole = Choice()
        for choice in choices:
            whole = whole.merged(choice)
        combined.append(whole)
    if "exclude" in node.values:
        combined = _without_excluded(combined, node.values["exclude"], list(owner), problems)
        if not combined:
            problems.add(node.keys["exclude"].place, "exclude leaves no combination; remove some of it")
    return Matrix(tuple(combined))


def _axis(axis: str, key: Scalar, values: Node, problems: Problems) -> list[Choice]:
    items = list(_items(values, problems))
    if isinstance(values, ListNode) and not values.items:
        problems.add(values.place, f"axis {shown(axis)} is empty; give it at least one value or remove it")
    if not axis.isidentifier() or axis in ("id", "index", "hash", "n"):
        problems.add(key.place, f"axis name {shown(axis)} cannot be a placeholder; use letters, digits and _")
    loss_texts = _loss_texts(items, axis, problems)
    choices: list[Choice] = []
    for number, item in enumerate(items, 1):
        choice = Choice()
        for name, node, label in _settings(axis, item, problems):
            text = loss_texts.get(id(node)) or _text(name, node, problems)
            choice.put(name, node, text, label)
        if isinstance(item, MapNode) and axis not in choice.texts and "value" not in item.values:
            label = _label(item, problems) or "-".join(choice.labels.values()) or str(number)
            choice.texts[axis] = choice.labels[axis] = label
            choice.aliases[axis] = {label}
        choices.append(choice)
    return choices


def _items(values: Node, problems: Problems) -> Iterator[Node]:
    """The values of an axis, with ranges spread into one scalar a number."""
    for node in values.items if isinstance(values, ListNode) else [values]:
        numbers = parse_range(node) if isinstance(node, Scalar) else None
        if isinstance(node, Scalar) and numbers is not None:
            if check_range(numbers, node, problems):
                yield from (Scalar(str(number), True, node.place) for number in numbers)
        else:
            yield node


def _settings(axis: str, item: Node, problems: Problems) -> Iterator[tuple[str, Node, str | None]]:
    """(placeholder, node, label) of everything one value of an axis sets."""
    if not isinstance(item, MapNode) or _is_value(axis, item):
        yield axis, item, None
        return
    label = _label(item, problems)
    if "value" in item.values:
        yield axis, item.values["value"], label
        for key in item.values:
            if key not in ("label", "value"):
                problems.unknown_key(item.keys[key], ("label", "value"), f"a labelled value of axis {shown(axis)}")
        return
    if not item.values.keys() - {"label"}:
        problems.add(item.place, f"this value of axis {shown(axis)} sets nothing; write {{label: ..., value: ...}}")
    for key, node in item.values.items():
        if key == "label":
            continue
        if not key.isidentifier() or key in ("id", "index", "hash", "n"):
            problems.add(item.keys[key].place, f"{shown(key)} cannot be set by an axis; use a field or a plain word")
        yield key, node, label if key == axis else None


def _is_value(axis: str, item: MapNode) -> bool:
    """Whether a map in an axis is the axis' own value, {name: canny} or {model: sdxl-refiner}, and not a zip."""
    return {"loss": "name", "refiner": "model"}.get(axis) in item.values


def _label(item: MapNode, problems: Problems) -> str | None:
    return parse_text("label", item.values["label"], problems) if "label" in item.values else None


def _unlabelled(item: Node, axis: str) -> Node | None:
    """The node of `item` that says its loss, if it says one."""
    if not isinstance(item, MapNode) or _is_value(axis, item):
        return item if axis == "loss" else None
    return item.values.get("value") if axis == "loss" and "value" in item.values else item.values.get("loss")


def _loss_texts(items: list[Node], axis: str, problems: Problems) -> Mapping[int, str]:
    """id of a loss's node -> what it is called: its name, with its scale where two of the axis share a name."""
    nodes = [node for item in items if (node := _unlabelled(item, axis)) is not None]
    parsed = [(node, losses) for node in nodes if (losses := parse_losses(node, problems)) is not None]
    counts = Counter(loss_text(losses) for _, losses in parsed)
    return {id(node): loss_text(losses, scales=counts[loss_text(losses)] > 1) for node, losses in parsed}


def _text(name: str, node: Node, problems: Problems) -> str:
    if isinstance(node, Scalar):
        return parse_text(short(name), node, problems) or ""
    if name == "size" and isinstance(node, ListNode) and all(isinstance(side, Scalar) for side in node.items):
        return "x".join(side.text for side in node.items if isinstance(side, Scalar))
    if name == "refiner" and isinstance(node, MapNode) and "model" in node.values:
        return _text("refiner", node.values["model"], problems)
    # A loss or a refiner that cannot be read is reported where it is read.
    if name not in ("loss", "refiner", "micro_conditioning"):
        problems.add(node.place, f"{short(name)} is {described(node)}; a value of an axis must be text or a number")
    return ""


def _without_excluded(choices: list[Choice], node: Node, known: list[str], problems: Problems) -> list[Choice]:
    if not isinstance(node, ListNode):
        problems.add(node.place, f"exclude is {described(node)}; it must be a list of maps such as {{style: Birb}}")
        return choices
    for entry in node.items:
        if not isinstance(entry, MapNode) or not entry.values:
            problems.add(
                entry.place, f"exclude holds {described(entry)}; each entry must be a map such as {{seed: 45}}"
            )
            continue
        wanted: dict[str, set[str]] = {}
        for key, value in entry.values.items():
            if key not in known:
                problems.unknown_key(entry.keys[key], known, "exclude, which names axes")
            elif not isinstance(value, Scalar):
                problems.add(value.place, f"{short(key)} in exclude is {described(value)}; write its label or its text")
            else:
                numbers = parse_range(value)
                wanted[key] = {value.text} if numbers is None else {str(number) for number in numbers}
        if len(wanted) < len(entry.values):
            continue
        kept = [
            choice
            for choice in choices
            if not all(choice.aliases.get(key, set()) & texts for key, texts in wanted.items())
        ]
        if len(kept) == len(choices):
            problems.add(entry.place, "this exclude matches no combination; use the labels or values of the axes")
        choices = kept
    return choices
