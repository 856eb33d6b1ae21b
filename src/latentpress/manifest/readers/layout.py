"""How lines of JSON that a script wrote are laid out, so that each is read at a glance. Knows what no value means.

Where the values of a line stand that is like many others is found once. The others are taken apart by one regular
expression, which says itself whether a line is laid out so.
"""

import re
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any

from latentpress.manifest.names import MAX_TEXT

# What is a line's own, by its order in `Quick`: texts, and a number that any seed may be.
OWN = ("id", "prompt", "seed")
# A line or a row like an earlier one: something that is equal for those whose other values are written alike; its own
# values, None for one that it has not; its number and its text.
Quick = tuple[Hashable, str | None, str | None, str | None, int, str]

# Printable ASCII without quotes and backslashes stands for itself. 2^64-1 has twenty digits.
_TEXT, _DIGITS = '"([ !#-\\[\\]-~]+)"', "(0|[1-9][0-9]{0,18})"
# Values that are the same for many lines.
_STRING = '("[^"\\\\\\x00-\\x1f]*")'
_WORD = "(true|false|null|-?(?:0|[1-9][0-9]*)(?:\\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)"
_BLANK, _END = re.compile(r"[ \t\r]*"), "(?:\r?\n)?"


class Layout:
    """The lines with the same keys in the same order, with the same blanks between them.

    pattern: with a group for each value that differs; own: the groups of the own values, others: of the other ones.
    """

    def __init__(self, pattern: str, own: Mapping[str, int], others: Sequence[int]) -> None:
        self._match = re.compile(pattern).fullmatch
        self._own, self._others = [own.get(name, 0) for name in OWN], others
        self._whole = len(own) == len(OWN)

    def quick(self, text: str, number: int) -> Quick | None:
        """The line `text`, None where it is not laid out so."""
        found = self._match(text)
        if found is None or ".." in text or len(text) > MAX_TEXT:  # two dots may be a range
            return None
        own: Any = found.group(*self._own)
        if not self._whole:
            own = [value if group else None for group, value in zip(self._own, own, strict=True)]
        key = (self, *map(found.group, self._others)) if self._others else self
        return key, *own, number, text


def layout_of(
    text: str, scan: Callable[[str, int], tuple[Any, int]], known: Collection[str], number: type
) -> Layout | None:
    """The layout of a line that is an object; None where it has other than `known` keys, or should be read by itself.

    scan: gives the value at a place of the text, and where it ends; number: the type of its numbers.
    """
    pattern, written = "", 0
    own, others = dict[str, int](), list[int]()
    at = _after(text, 0)
    while text[at] != "}":
        key, end = scan(text, at)
        begins = _after(text, _blanks(text, end))
        value, end = scan(text, begins)
        raw = text[begins:end]
        digits = type(value) is number and re.fullmatch(_DIGITS, raw) is not None
        group = None
        if key not in known:
            return None
        if (digits and key in ("id", "seed")) or (key in ("id", "prompt") and re.fullmatch(_TEXT, raw)):
            group = _DIGITS if digits else _TEXT
            own[key] = len(own) + len(others) + 1
        elif key in ("id", "prompt"):
            return None
        elif not isinstance(value, dict | list) and "\\" not in raw:
            group = _STRING if raw.startswith('"') else _WORD
            others.append(len(own) + len(others) + 1)
        pattern += re.escape(text[written:begins]) + (group or re.escape(raw))
        written = end
        at = _blanks(text, end)
        if text[at] == ",":
            at = _after(text, at)
    return Layout(pattern + re.escape(text[written : at + 1]) + _END, own, others)


def _blanks(text: str, at: int) -> int:
    """Where the blanks at `at` end."""
    found = _BLANK.match(text, at)
    assert found is not None
    return found.end()


def _after(text: str, at: int) -> int:
    """Where the blanks behind the mark at `at` end."""
    return _blanks(text, at + 1)
