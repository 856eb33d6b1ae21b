"""Fields of SDXL: the refiner that takes a picture over, and micro-conditioning."""

from dataclasses import dataclass, replace
from pathlib import Path

from latentpress.manifest.field import Reader
from latentpress.manifest.nodes import ListNode, MapNode, Node, Place, Scalar, described
from latentpress.manifest.values import given, is_none, parse_number, parse_size, parse_text
from latentpress.runtime.request import MicroConditioning

# diffusers' documentation hands over here; the base does the coarse four fifths.
SWITCH_AT = 0.8

_REFINER_KEYS = ("model", "switch_at")
_SIZES = ("original_size", "target_size", "negative_original_size", "negative_target_size")
_CROPS = ("crop_top_left", "negative_crop_top_left")
_MICRO_KEYS = (*_SIZES, *_CROPS, "aesthetic_score", "negative_aesthetic_score")


@dataclass(frozen=True)
class RefinerChoice:
    """A refiner as the manifest names it: the path of its bundle, where that is written, and where it takes over."""

    model: str
    place: Place
    switch_at: float


def parse_refiner(node: Node, reader: Reader) -> tuple[RefinerChoice, ...] | None:
    """A refiner's bundle, or {model, switch_at}; none for `none`."""
    if is_none(node):
        return ()
    problems = reader.problems
    switch_at: float | None = SWITCH_AT
    named = node
    if isinstance(node, MapNode):
        for key in node.values.keys() - set(_REFINER_KEYS):
            problems.unknown_key(node.keys[key], _REFINER_KEYS, "refiner")
        values = given(node)
        if "switch_at" in values:
            rule = "a share of the steps that the base runs, from 0.000001 to 0.999999"
            switch_at = parse_number("switch_at", values["switch_at"], problems, 1e-6, 1 - 1e-6, rule=rule)
        if "model" not in values:
            problems.add(node.place, "refiner has no model; write {model: bundles/sdxl-refiner, switch_at: 0.8}")
            return None
        named = values["model"]
    model = parse_text("refiner", named, problems)
    if model is None or switch_at is None:
        return None
    if not model:
        problems.add(named.place, "refiner is empty; write the path of an SDXL refiner's bundle")
        return None
    return (RefinerChoice(str(Path(named.place.file).parent / model), named.place, switch_at),)


def parse_micro(node: Node, reader: Reader) -> MicroConditioning | None:
    """SDXL's micro-conditioning: sizes as WxH, crops as [top, left], aesthetic scores."""
    problems = reader.problems
    if not isinstance(node, MapNode):
        problems.add(node.place, f"micro_conditioning is {described(node)}; write {{original_size: 1024x1024}}")
        return None
    for key in node.values.keys() - set(_MICRO_KEYS):
        problems.unknown_key(node.keys[key], _MICRO_KEYS, "micro_conditioning")
    found: dict[str, object] = {}
    for key, value in given(node).items():
        if key in _SIZES:
            found[key] = parse_size(value, problems, name=key, multiple=1)
        elif key in _CROPS:
            found[key] = _parse_crop(key, value, reader)
        elif key in _MICRO_KEYS:
            found[key] = parse_number(key, value, problems, 0, 10, rule="a number from 0 to 10")
    if None in found.values():
        return None
    return replace(MicroConditioning(), **found)


def _parse_crop(name: str, node: Node, reader: Reader) -> tuple[int, int] | None:
    rule = "a whole number of pixels from 0 to 8192"
    if (
        not isinstance(node, ListNode)
        or len(node.items) != 2
        or not all(isinstance(item, Scalar) for item in node.items)
    ):
        message = f"{name} is {described(node)}; write it as [top, left], e.g. [0, 0]"
        reader.problems.add(node.place, message)
        return None
    top, left = (parse_number(name, item, reader.problems, 0, 8192, whole=True, rule=rule) for item in node.items)
    return None if top is None or left is None else (int(top), int(left))
