"""From a manifest's node to a plain value: text, numbers, ranges, sizes. Each reports its mistakes and returns None.

What null means is the same everywhere: the key is as good as not there. `given` leaves such keys out of a map; a field of a
job keeps them (field.py), for there null switches off what `defaults` say.
"""

import math
import re
from collections.abc import Sequence

from latentpress.errors import nearest, shown
from latentpress.manifest.names import MAX_TEXT
from latentpress.manifest.nodes import ListNode, MapNode, Node, Problems, Scalar, described

MAX_SIDE = 8192
MAX_JOBS = 1_000_000
MAX_STEPS = 1000

_RANGE = re.compile(r"([0-9]+)\.\.([0-9]+)")
_SIZE = re.compile(r"([0-9]+)\s*[xX×]\s*([0-9]+)")


class Verbatim(str):
    """A text of a node, a prompt, whose braces, wildcards and placeholders are characters."""

    __slots__ = ()


def verbatim(node: Node) -> Node:
    """A prompt as the characters that it is, for who knows no braces, wildcards or placeholders; the map of a file stays."""
    return Scalar(Verbatim(node.text), node.plain, node.place) if isinstance(node, Scalar) else node


def not_given(node: Node) -> bool:
    """Whether a node is YAML's null."""
    return isinstance(node, Scalar) and node.null


def given(node: MapNode) -> dict[str, Node]:
    """The entries of a map, those that are null left out."""
    return {key: value for key, value in node.values.items() if not not_given(value)}


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
    """A scalar's own text, of a number the characters as written.

    Refused are null, true and false, which are no text unless they stand in quotes, and what UTF-8 cannot write.
    """
    if not isinstance(node, Scalar) or node.null:
        problems.add(node.place, f"{name} is {described(node)}; it must be text")
        return None
    if isinstance(node.value, bool):
        # Nobody draws "true"; more likely the value went astray on its way into the manifest.
        message = (
            f"{name} is {node.text}, which YAML takes for a truth value; write '{node.text}' in quotes for the word"
        )
        problems.add(node.place, message)
        return None
    return parse_word(name, node, problems)


def parse_word(name: str, node: Scalar, problems: Problems) -> str | None:
    """The characters of any scalar; those that UTF-8 cannot write are refused."""
    surrogate = not node.text.isascii() and any(0xD800 <= ord(char) <= 0xDFFF for char in node.text)
    if surrogate or "\0" in node.text:
        problems.add(
            node.place, f"{name} holds a character that no file can carry (a lone surrogate or NUL); remove it"
        )
        return None
    if len(node.text) > MAX_TEXT:
        problems.add(node.place, f"{name} has {len(node.text):,} characters, and {MAX_TEXT:,} are the most; shorten it")
        return None
    return node.text


def parse_choice(name: str, node: Node, problems: Problems, choices: Sequence[str]) -> str | None:
    """One of `choices`; where `none` is among them, what says so otherwise (off, false) is it too."""
    if "none" in choices and is_none(node):
        return "none"
    text = parse_text(name, node, problems)
    if text is None or text in choices:
        return text
    close = nearest(text, choices)
    hint = f"did you mean {close!r}?" if close else f"it must be one of {', '.join(choices)}"
    problems.add(node.place, f"{name} is {described(node)}; {hint}")
    return None


def parse_number(
    name: str, node: Node, problems: Problems, low: float, high: float, *, whole: bool = False, rule: str
) -> float | None:
    """A number within low..high; `rule` says in words what is allowed."""
    value = node.value if isinstance(node, Scalar) else None
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value) or not low <= value <= high:
        problems.add(node.place, f"{name} is {number_described(node)}; it must be {rule}")
        return None
    return value


def number_described(node: Node) -> str:
    """What a node is where a number is wanted; of a number or a range in quotes, that it is text."""
    if (
        isinstance(node, Scalar)
        and not node.plain
        and (isinstance(Scalar(node.text, True, node.place).value, int | float) or _RANGE.fullmatch(node.text))
    ):
        return f"{shown(node.text)} in quotes, which is text"
    return described(node)


def parse_size(node: Node, problems: Problems, *, name: str = "size", multiple: int = 8) -> tuple[int, int] | None:
    """(height, width) in pixels, multiples of `multiple`, from `WxH`, [w, h] or one side."""
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
        problems.add(node.place, f"{name} is {number_described(node)}; write it as 512x512, [512, 512] or 512")
        return None
    width, height = sides
    shown_size = f"{width}x{height}"
    if not all(multiple <= side <= MAX_SIDE for side in sides):
        problems.add(node.place, f"{name} is {shown_size}; both sides must be from {multiple} to {MAX_SIDE} pixels")
        return None
    if width % multiple or height % multiple:
        near = "x".join(str(max(multiple, (side + multiple // 2) // multiple * multiple)) for side in sides)
        problems.add(node.place, f"{name} is {shown_size}; both sides must be multiples of {multiple}, e.g. {near}")
        return None
    return height, width


def is_none(node: Node) -> bool:
    """Whether the node says that something is not wanted: none, or without quotes no, off, false or null."""
    if not isinstance(node, Scalar):
        return False
    return node.text == "none" or (
        node.plain and (not_given(node) or node.text.lower() in ("none", "no", "off", "false"))
    )
