"""The kinds of field that several fields are: a prompt, a number, one of some words, the file of a picture."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from latentpress.manifest.field import Field, Reader, Values
from latentpress.manifest.given import parse_picture, stem
from latentpress.manifest.nodes import MapNode, Node
from latentpress.manifest.text_file import TextFile, parse_text_file
from latentpress.manifest.values import parse_choice, parse_number, parse_text
from latentpress.runtime.facts import BundleFacts, Bundles
from latentpress.runtime.request import ImageFile, RenderRequest


def prompt_field(name: str, **more: Any) -> Field:
    """Text, or a file of texts."""

    def parse(node: Node, reader: Reader) -> str | TextFile | None:
        if isinstance(node, MapNode):
            return parse_text_file(name, node, reader.problems)
        return parse_text(name, node, reader.problems)

    return Field(parse, prose=True, **more)


def number_field(name: str, low: float, high: float, rule: str, default: float | None, **more: Any) -> Field:
    """A number within low..high, shown without needless digits; `rule` says in words what is allowed."""

    def parse(node: Node, reader: Reader) -> float | None:
        value = parse_number(name, node, reader.problems, low, high, rule=rule)
        return None if value is None else float(value)

    schema = {"type": "number", "minimum": low, "maximum": high}
    return Field(parse, default, text=lambda values: f"{values[name]:g}", schema=schema, **more)


def whole_field(name: str, low: int, high: int, rule: str, default: int, **more: Any) -> Field:
    """A whole number within low..high; `rule` says in words what is allowed."""

    def parse(node: Node, reader: Reader) -> int | None:
        value = parse_number(name, node, reader.problems, low, high, whole=True, rule=rule)
        return None if value is None else int(value)

    return Field(parse, default, schema={"type": "integer", "minimum": low, "maximum": high}, **more)


def choice_field(name: str, choices: Sequence[str], default: str, **more: Any) -> Field:
    """One of `choices`."""
    words = [*choices, "off", "no", False] if "none" in choices else list(choices)
    return Field(
        lambda node, reader: parse_choice(name, node, reader.problems, choices),
        default,
        schema={"enum": words},
        **more,
    )


def picture_field(name: str, key: str, settle: Callable[[Values, Bundles], tuple[ImageFile | None]]) -> Field:
    """The file of a picture, `key` its A1111 key for the first ten digits of the file's sha256."""

    def parameters(request: RenderRequest, facts: BundleFacts, bundles: Bundles) -> Mapping[str, str]:
        file = getattr(request, name)
        return {key: file.sha256[:10]} if file else {}

    return Field(
        lambda node, reader: parse_picture(name, node, reader),
        (),
        text=lambda values: stem(values, name),
        schema={"anyOf": [{"type": ["string", "number"], "minLength": 1}, {"const": False}]},
        settle=settle,
        parameters=parameters,
    )


def pair(key: str, text: Callable[[RenderRequest], str | None]) -> Any:
    """The parameters of a field that has one key, left out while `text` gives None."""

    def parameters(request: RenderRequest, facts: BundleFacts, bundles: Bundles) -> Mapping[str, str]:
        found = text(request)
        return {} if found is None else {key: found}

    return parameters
