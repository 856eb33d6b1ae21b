"""Reads the manifest's `matrix`: what its axes set and what it excludes. Knows which fields exist, not what they come to."""

import math
import re
from collections import Counter
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from latentpress.errors import nearest, short, shown
from latentpress.manifest.axes import NULL, Axis, Choice, Exclusion, ListedAxis, Matrix, SeedRange
from latentpress.manifest.field import Reader
from latentpress.manifest.fields import FIELDS, PROMPTS, model_name
from latentpress.manifest.losses import loss_text, parse_losses
from latentpress.manifest.nodes import OWN_KEY, ListNode, MapNode, Node, Problems, Scalar, described
from latentpress.manifest.seeds import DRAWN, check_seeds
from latentpress.manifest.text_file import is_text_file, parse_text_file
from latentpress.manifest.timesteps import written_timesteps
from latentpress.manifest.values import (
    MAX_JOBS,
    check_range,
    given,
    is_none,
    not_given,
    parse_range,
    parse_text,
    parse_word,
)

_BRACES = re.compile(r"\{[^{}]*\|[^{}]*\}")


def parse_matrix(node: Node, reader: Reader) -> Matrix:
    """The axes of the matrix at `node` and what it excludes; mistakes go to the reader's problems."""
    problems = reader.problems
    if not isinstance(node, MapNode):
        problems.add(node.place, f"matrix is {described(node)}; it must be a map from each axis to a list of values")
        return Matrix()
    axes: list[Axis] = []
    owner: dict[str, str] = {}
    for name, values in node.values.items():
        if name == "exclude" or name.startswith(OWN_KEY):
            continue
        if _is_exclude(values, node.values.keys() - {name}) and nearest(name, ["exclude"]):
            problems.add(node.keys[name].place, f"unknown key {shown(name)} in matrix; did you mean 'exclude'?")
            continue
        axis = _axis(name, node.keys[name], values, reader)
        axes.append(axis)
        for key in axis.variables:
            if key in owner:
                message = (
                    f"{shown(key)} is set by the axes {shown(owner[key])} and {shown(name)}; leave it to one of them"
                )
                problems.add(node.keys[name].place, message)
            owner[key] = name
    if math.prod(len(axis) for axis in axes) > MAX_JOBS:
        problems.add(node.place, f"the matrix has more than {MAX_JOBS:,} combinations; split the manifest")
        return Matrix()
    matrix = Matrix(tuple(axes))
    if "exclude" not in node.values or not_given(node.values["exclude"]):
        return matrix
    return _without_excluded(matrix, node.values["exclude"], node.keys["exclude"], list(owner), problems)


def _is_exclude(values: Node, axes: Collection[str]) -> bool:
    """Whether an axis has the values of `exclude`: maps from other axes."""
    items = values.items if isinstance(values, ListNode) else ()
    return any(isinstance(item, MapNode) and not item.values.keys().isdisjoint(axes) for item in items)


def _axis(axis: str, key: Scalar, values: Node, reader: Reader) -> Axis:
    problems = reader.problems
    if axis == "seed" and isinstance(values, Scalar) and (numbers := parse_range(values)) is not None:
        good = check_range(numbers, values, problems) and check_seeds(numbers, values, reader)
        return SeedRange(values, numbers if good else range(0))
    items = list(_items(axis, values, problems))
    if not_given(values) or (isinstance(values, ListNode) and not values.items):
        problems.add(values.place, f"axis {shown(axis)} is empty; give it at least one value or remove it")
    if not axis.isidentifier() or axis in ("id", "index", "hash", "n"):
        problems.add(key.place, f"axis name {shown(axis)} cannot be a placeholder; use letters, digits and _")
    loss_texts = _loss_texts(items, axis, reader)
    choices: list[Choice] = []
    for number, item in enumerate(items, 1):
        choice = Choice()
        for name, node, label in _settings(axis, item, problems):
            text = loss_texts.get(node) or _text(name, node, problems)
            choice.put(name, node, text, label)
            if name not in FIELDS and _BRACES.search(text):
                what = f"{shown(text)} has braces, which are characters in a word of an axis; list the words themselves"
                problems.warn(node.place, what)
        if isinstance(item, MapNode) and axis not in choice.texts and "value" not in item.values:
            label = _label(item, problems) or "-".join(choice.labels.values()) or str(number)
            choice.texts[axis] = choice.labels[axis] = label
            choice.aliases[axis] = {label}
        choices.append(choice)
    _call_pictures(choices)
    return ListedAxis(axis, choices)


def _call_pictures(choices: Sequence[Choice]) -> None:
    """Call given pictures in names as outside of a matrix: by their stem, unless two of the axis share it."""
    for name in ("init_image", "mask_image"):
        unlabelled = [
            choice
            for choice in choices
            if name in choice.fields and name in choice.labels and choice.labels[name] == choice.texts[name]
        ]
        shared = Counter(PurePath(path).stem for path in {choice.texts[name] for choice in unlabelled})
        for choice in unlabelled:
            stem = "none" if is_none(choice.fields[name]) else PurePath(choice.texts[name]).stem
            if shared[stem] < 2:
                choice.labels[name] = stem
                choice.aliases[name].add(stem)


def _items(axis: str, values: Node, problems: Problems) -> Iterator[Node]:
    """The values of an axis, with ranges spread into one scalar a number, and a file into one a line."""
    if is_text_file(values):
        values = _lines(axis, values, problems)
    for node in values.items if isinstance(values, ListNode) else [values]:
        if axis in PROMPTS and is_text_file(node):
            yield from _lines(axis, node, problems).items
            continue
        numbers = parse_range(node) if isinstance(node, Scalar) else None
        if isinstance(node, Scalar) and numbers is not None:
            if check_range(numbers, node, problems):
                yield from (Scalar(str(number), True, node.place) for number in numbers)
        else:
            yield node


def _lines(axis: str, node: Node, problems: Problems) -> ListNode:
    """The lines of a file as the values of an axis."""
    assert isinstance(node, MapNode)
    if axis in FIELDS and axis not in PROMPTS:
        what = f"axis {shown(axis)} is a file, and files have prompts and words of one's own; write a list"
        problems.add(node.place, what)
        return ListNode([], node.place)
    found = parse_text_file(axis, node, problems)
    lines: list[Node] = [Scalar(line.text, False, line.place) for line in found.lines] if found else []
    return ListNode(lines, node.place)


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
        if key == "label" or key.startswith(OWN_KEY):
            continue
        if not key.isidentifier() or key in ("id", "index", "hash", "n"):
            problems.add(item.keys[key].place, f"{shown(key)} cannot be set by an axis; use a field or a plain word")
        yield key, node, label if key == axis else None


def _is_value(axis: str, item: MapNode) -> bool:
    """Whether a map in an axis is the axis' own value, {name: canny}, {model: sdxl-refiner} or {draw: 2}, and not a zip."""
    return {"loss": "name", "refiner": "model", "seed": "draw"}.get(axis) in item.values


def _label(item: MapNode, problems: Problems) -> str | None:
    written = item.values.get("label")
    return None if written is None or not_given(written) else parse_text("label", written, problems)


def _unlabelled(item: Node, axis: str) -> Node | None:
    """The node of `item` that says its loss, if it says one."""
    if not isinstance(item, MapNode) or _is_value(axis, item):
        return item if axis == "loss" else None
    return item.values.get("value") if axis == "loss" and "value" in item.values else item.values.get("loss")


def _loss_texts(items: list[Node], axis: str, reader: Reader) -> Mapping[Node, str]:
    """A loss's node -> what it is called: its name, with its scale where two of the axis share a name."""
    nodes = [node for item in items if (node := _unlabelled(item, axis)) is not None]
    parsed = [(node, losses) for node in nodes if (losses := parse_losses(node, reader)) is not None]
    counts = Counter(loss_text(losses) for _, losses in parsed)
    return {node: loss_text(losses, scales=counts[loss_text(losses)] > 1) for node, losses in parsed}


def _text(name: str, node: Node, problems: Problems) -> str:
    if not_given(node):
        return ""
    if isinstance(node, Scalar):  # what is wrong for a field is reported where it is read
        text = parse_word(short(name), node, problems) or ""
        return model_name(text) if name == "model" else text
    if name == "size" and isinstance(node, ListNode) and all(isinstance(side, Scalar) for side in node.items):
        return "x".join(side.text for side in node.items if isinstance(side, Scalar))
    if name == "timesteps" and isinstance(node, ListNode):
        return written_timesteps(node)
    if name == "refiner" and isinstance(node, MapNode) and "model" in node.values:
        return _text("refiner", node.values["model"], problems)
    if name == "seed" and isinstance(node, MapNode):
        return str(DRAWN)
    # A loss or a refiner that cannot be read is reported where it is read.
    if name not in ("loss", "refiner", "micro_conditioning"):
        named = short(name) or "''"
        problems.add(node.place, f"{named} is {described(node)}; a value of an axis must be text or a number")
    return ""


def _without_excluded(matrix: Matrix, node: Node, key: Scalar, known: list[str], problems: Problems) -> Matrix:
    if not isinstance(node, ListNode):
        problems.add(node.place, f"exclude is {described(node)}; it must be a list of maps such as {{style: Birb}}")
        return matrix
    entries: list[tuple[Node, Exclusion]] = []
    for entry in node.items:
        if not isinstance(entry, MapNode) or not entry.values:
            problems.add(
                entry.place, f"exclude holds {described(entry)}; each entry must be a map such as {{seed: 45}}"
            )
            continue
        wanted: dict[str, Container[str]] = {}
        for name, value in entry.values.items():
            if name not in known:
                problems.unknown_key(entry.keys[name], known, "exclude, which names axes")
            elif not isinstance(value, Scalar):
                problems.add(
                    value.place, f"{short(name)} in exclude is {described(value)}; write its label or its text"
                )
            else:
                numbers = parse_range(value)
                text = NULL if not_given(value) else value.text
                wanted[name] = {text} if numbers is None else _Texts(numbers)
        if len(wanted) == len(entry.values):
            entries.append((entry, tuple(_meant(axis, wanted) for axis in matrix.axes)))
    excluded = replace(matrix, exclusions=tuple(exclusion for _, exclusion in entries))
    used: set[int | None] = {excluded.excluding(indices) for indices in matrix.combinations()}
    for number, (entry, _) in enumerate(entries):
        if number not in used:
            problems.add(entry.place, f"this exclude matches no combination; {_way_out(entry, matrix)}")
    if None not in used:
        problems.add(key.place, "exclude leaves no combination; remove some of it")
    return excluded


def _way_out(entry: Node, matrix: Matrix) -> str:
    """What to write instead of an exclude that matches nothing."""
    values = given(entry) if isinstance(entry, MapNode) else {}
    for name, value in values.items():
        own = next((axis for axis in matrix.axes if name in axis.variables and not isinstance(axis, SeedRange)), None)
        if own is not None and isinstance(value, Scalar) and parse_range(value) is None:
            known = [text for at in range(len(own)) for text in own.choice(at).aliases.get(name, ()) if text != NULL]
            close = None if value.text in known else nearest(value.text, known)
            if close:
                return f"did you mean {name}: {close!r}?"
    return "use the labels or values of the axes"


def _meant(axis: Axis, wanted: Mapping[str, Container[str]]) -> frozenset[int] | None:
    """The indices of the choices that agree with all that is `wanted` of this axis; None where nothing is."""
    own = wanted.keys() & set(axis.variables)
    if not own:
        return None
    return frozenset(
        index
        for index in range(len(axis))
        if all(any(text in wanted[key] for text in axis.choice(index).aliases.get(key, ())) for key in own)
    )


@dataclass(frozen=True)
class _Texts(Container[str]):
    """The decimal texts of a range's numbers, which may be more than memory should hold."""

    numbers: range

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and text.isdecimal() and str(int(text)) == text and int(text) in self.numbers
