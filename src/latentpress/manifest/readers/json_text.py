"""JSON text as nodes that remember where they stand. Knows nothing of manifests.

Python's own parser says no places; of its parts the one for strings is used, which is written in C.
"""

import re
from bisect import bisect_right
from json import JSONDecodeError
from json import decoder as _c

from latentpress.errors import shown
from latentpress.manifest.nodes import MAX_DEPTH, ListNode, MapNode, Node, Place, Problems, Scalar

_SPACE = re.compile(r"[ \t\r\n]*")
_LINE_END = re.compile(r"\n|\r(?!\n)")
_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null")
_RANGE = re.compile(r"[0-9]{1,30}\.\.[0-9]{1,30}")
_WORD = re.compile(r"[^\s,:\[\]{}\"]*")
_HINTS = {
    "'": "text stands in double quotes",
    "/": "JSON has no comments",
    "#": "JSON has no comments",
}


class NotJson(ValueError):
    """A text that is not JSON; `place` is where it goes wrong."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


def read_json(text: str, file: str, problems: Problems, line: int = 1) -> Node:
    """The node of the one value that `text` holds, which begins on `line` of `file`.

    Raises NotJson where it cannot be read; keys given twice go to `problems`.
    """
    return _Parser(text, file, problems, line).whole()


def is_range(text: str) -> bool:
    """Whether a string is what YAML has without quotes, `1..5`: JSON has no other way to write it."""
    return _RANGE.fullmatch(text) is not None


class _Parser:
    def __init__(self, text: str, file: str, problems: Problems, line: int) -> None:
        self._text, self._file, self._problems, self._line = text, file, problems, line
        self._ends = [found.start() for found in _LINE_END.finditer(text)]

    def whole(self) -> Node:
        node, at = self._value(self._skip(0), 1)
        at = self._skip(at)
        if at < len(self._text):
            raise self._wrong(at, f"{self._seen(at)} stands behind the end of the value")
        return node

    def _place(self, at: int) -> Place:
        before = bisect_right(self._ends, at - 1)
        begins = self._ends[before - 1] + 1 if before else 0
        return Place(self._file, self._line + before, at - begins + 1)

    def _skip(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return found.end() if found else at

    def _value(self, at: int, depth: int) -> tuple[Node, int]:
        """The node of the value that begins at `at`, and where it ends."""
        begins = self._text[at : at + 1]
        if begins == '"':
            text, end = self._string(at)
            return Scalar(text, is_range(text), self._place(at)), end
        if begins in ("{", "["):
            if depth > MAX_DEPTH:
                raise NotJson(self._place(at), f"nested deeper than {MAX_DEPTH} levels")
            return self._map(at, depth) if begins == "{" else self._list(at, depth)
        found = _PLAIN.match(self._text, at)
        if not found or _WORD.match(self._text, found.end())[0]:  # pyright: ignore[reportOptionalSubscript]
            raise self._wrong(at, f"{self._seen(at)} is no value")
        return Scalar(found[0], True, self._place(at)), found.end()

    def _string(self, at: int) -> tuple[str, int]:
        try:
            return _c.scanstring(self._text, at + 1, True)  # pyright: ignore[reportAttributeAccessIssue] - typeshed has none
        except JSONDecodeError as error:
            what = error.msg[:1].lower() + error.msg[1:]
            at = at if "starting at" in what else error.pos
            raise self._wrong(at, what.removesuffix(" at").removesuffix(" starting")) from None

    def _list(self, at: int, depth: int) -> tuple[Node, int]:
        node = ListNode([], self._place(at))
        at = self._skip(at + 1)
        if self._text[at : at + 1] == "]":
            return node, at + 1
        while True:
            item, at = self._value(at, depth + 1)
            node.items.append(item)
            at, closed = self._next(at, "]")
            if closed:
                return node, at

    def _map(self, at: int, depth: int) -> tuple[Node, int]:
        values: dict[str, Node] = {}
        keys: dict[str, Scalar] = {}
        node = MapNode(values, keys, self._place(at))
        at = self._skip(at + 1)
        if self._text[at : at + 1] == "}":
            return node, at + 1
        while True:
            if self._text[at : at + 1] != '"':
                raise self._wrong(at, f"{self._seen(at)} is no key; a key is text in double quotes")
            key = Scalar("", False, self._place(at))
            key.text, at = self._string(at)
            at = self._skip(at)
            if self._text[at : at + 1] != ":":
                raise self._wrong(at, f"{self._seen(at)} stands where : belongs, behind the key {shown(key.text)}")
            value, at = self._value(self._skip(at + 1), depth + 1)
            if key.text in values:
                first = keys[key.text].place
                self._problems.add(
                    key.place, f"key {shown(key.text)} is given twice; the first is on line {first.line}"
                )
            else:
                values[key.text], keys[key.text] = value, key
            at, closed = self._next(at, "}")
            if closed:
                return node, at

    def _next(self, at: int, closing: str) -> tuple[int, bool]:
        """Where the next entry begins, or the end of what `closing` closes; whether it is the latter."""
        at = self._skip(at)
        char = self._text[at : at + 1]
        if char == closing:
            return at + 1, True
        if char != ",":
            raise self._wrong(at, f"{self._seen(at)} stands where , or {closing} belongs")
        after = self._skip(at + 1)
        if self._text[after : after + 1] == closing:
            raise self._wrong(at, f"nothing follows this comma; remove it, for JSON has none before {closing}")
        return after, False

    def _seen(self, at: int) -> str:
        """What stands at `at`, to be quoted."""
        if at >= len(self._text.rstrip()):
            return "the end"
        found = _WORD.match(self._text, at)
        return shown((found and found[0]) or self._text[at])

    def _wrong(self, at: int, what: str) -> NotJson:
        hint = _HINTS.get(self._text[at : at + 1])
        return NotJson(self._place(at), f"not JSON: {what}{f'; {hint}' if hint else ''}")
