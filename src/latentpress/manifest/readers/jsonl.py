"""JSON lines: one object a line, read as it is asked for. Knows no field.

The C parser reads a line; where in it a value stands is looked for only when somebody asks, which is when it is wrong. Lines
that are laid out like earlier ones are not even parsed (layout.py).
"""

import json
from collections.abc import Collection, Container, Iterator
from typing import Any, NoReturn

from latentpress.errors import ManifestError
from latentpress.manifest.nodes import MAX_DEPTH, ListNode, MapNode, Node, Place, Problems, Scalar, described
from latentpress.manifest.plain_text import NotText, Wide, decoded
from latentpress.manifest.readers.json_text import NotJson, is_range, read_json
from latentpress.manifest.readers.layout import Layout, Quick, layout_of
from latentpress.manifest.source import MAX_LINE, Lines, Source

EXAMPLE = '{"prompt": "a kite"}'
_ENDS = ("\n", "", "\r\n")
_RETURN = "; the line holds a carriage return alone, where earlier ones end in a line feed: end each line alike"
# Layouts that are known of a file at most, and of how many lines without one it is looked for.
_LAYOUTS, _SOME = 8, 16
# Keys and indices that lead from a line's object to a value in it.
_Path = tuple[str | int, ...]


class JsonLines:
    """The map of each line of `source`, made anew on each pass; mistakes go to `problems`, and their lines are left out.

    skip: numbers of lines that are not read; known: the keys of lines that may be like others.
    """

    def __init__(
        self, source: Source, problems: Problems, skip: Container[int] = (), known: Collection[str] = ()
    ) -> None:
        self._file, self._problems, self._lines, self._skip = source.name, problems, Lines(source), skip
        self._known, self._layouts, self._tried = known, list[Layout](), 0

    def __iter__(self) -> Iterator[MapNode | Quick]:
        skip = self._skip
        for number, content in enumerate(self._lines, 1):
            if skip and number in skip:
                continue
            try:
                item = self._item(number, content.decode())
            except ValueError:
                item = self._slowly(content, number)
            if item is not None:
                yield item

    def node(self, number: int, text: str) -> MapNode | None:
        """The map of a line; None for a blank one, and once it is reported that it is none."""
        try:
            found, end = _scan(text, 0)
            if type(found) is dict and text[end:] in _ENDS:
                return _map(found, _Line(self._file, number, text), ())
        except (ValueError, StopIteration, RecursionError):
            pass
        return self._slowly(text, number)

    def with_places(self, item: MapNode) -> MapNode:
        """The same map, made of nodes that know their places and do not hold on to the text of the line."""
        place = item.place
        return (self._slowly(place.text, place.line) if isinstance(place, _Line) else None) or item

    def _item(self, number: int, text: str) -> MapNode | Quick | None:
        layouts = self._layouts
        for place, layout in enumerate(layouts):
            if (quick := layout.quick(text, number)) is not None:
                if place:
                    layouts.insert(0, layouts.pop(place))
                return quick
        node = self.node(number, text)
        if self._known and len(layouts) < _LAYOUTS and isinstance(node, _Map):
            if self._tried % _SOME == 0 and (layout := layout_of(text, _scan, self._known, _Number)) is not None:
                layouts.append(layout)
            self._tried += 1
        return node

    def _slowly(self, content: str | bytes, number: int) -> MapNode | None:
        """The map of a line that is not as simple as most; None for a blank one, and once it is reported that it is none."""
        place = Place(self._file, number, 1)
        if len(content) > MAX_LINE:
            raise ManifestError([f"{place}: the line is longer than {MAX_LINE >> 20} MiB; shorten it"])
        try:
            text = content if isinstance(content, str) else decoded(content, self._file, number)
            if not (text := text.rstrip(" \t\r\n")):
                return None
            node = read_json(text, self._file, self._problems, number)
        except Wide as error:
            raise ManifestError([f"{error.place}: {error}"]) from None
        except (NotText, NotJson) as error:
            self._problems.add(error.place, f"{error}{_RETURN if _inner_return(content) else ''}")
            return None
        if isinstance(node, MapNode):
            return node
        self._problems.add(node.place, f"the line is {described(node)}; each line is an object such as {EXAMPLE}")
        return None


class _Line(Place):
    """A line as a place: where its object begins."""

    __slots__ = ("text",)

    def __init__(self, file: str, number: int, text: str) -> None:
        self.file, self.line, self.text = file, number, text

    @property
    def column(self) -> int:
        """The column, looked for in the line."""
        return self.found((), key=False).column

    def found(self, path: _Path, *, key: bool) -> Place:
        """The place of what `path` leads to in the line, or of its key."""
        found: Node = read_json(self.text, self.file, Problems(), self.line)
        node = found
        for step in path:
            if isinstance(node, MapNode):
                found = node.keys[str(step)] if key else node.values[str(step)]
                node = node.values[str(step)]
            elif isinstance(node, ListNode):
                found = node = node.items[int(step)]
        return found.place


class _Within(Place):
    """The place of what a path leads to in a line, or of its key."""

    __slots__ = ("_key", "_line", "_path")

    def __init__(self, line: _Line, path: _Path, *, key: bool = False) -> None:
        self.file, self.line, self._line, self._path, self._key = line.file, line.line, line, path, key

    @property
    def column(self) -> int:
        """The column, looked for in the line."""
        return self._line.found(self._path, key=self._key).column


class _Value(Scalar):
    """A scalar of a line, whose place is made as it is asked for: few are. up: the path of the map it is in."""

    __slots__ = ("line", "step", "up")

    def __init__(self, text: str, plain: bool, line: _Line, up: _Path, step: str | int) -> None:
        self.text, self.plain, self.line, self.up, self.step = text, plain, line, up, step

    @property
    def place(self) -> Place:  # pyright: ignore[reportIncompatibleVariableOverride] - read alone
        """Where it stands."""
        return _Within(self.line, (*self.up, self.step))


class _Map(MapNode):
    """An object of a line, whose keys' places are made as they are asked for."""

    __slots__ = ("_line", "_path")

    def __init__(self, values: dict[str, Node], line: _Line, path: _Path) -> None:
        self.values, self._line, self._path = values, line, path

    @property
    def place(self) -> Place:  # pyright: ignore[reportIncompatibleVariableOverride] - read alone
        """Where it begins."""
        return _Within(self._line, self._path) if self._path else self._line

    @property
    def keys(self) -> dict[str, Scalar]:  # pyright: ignore[reportIncompatibleVariableOverride] - read alone
        """The node of each key."""
        return _Keys(self._line, self._path)


class _Keys(dict[str, Scalar]):
    """The nodes of a map's keys, made as they are asked for."""

    def __init__(self, line: _Line, path: _Path) -> None:
        super().__init__()
        self._line, self._path = line, path

    def __missing__(self, key: str) -> Scalar:
        return Scalar(key, False, _Within(self._line, (*self._path, key), key=True))


class _Number(str):
    """A number as it is written, which a Python number would not keep."""

    __slots__ = ()


def _map(found: dict[str, Any], line: _Line, path: _Path) -> _Map:
    values: dict[str, Node] = {}
    for key, value in found.items():
        if type(value) is str:
            values[key] = _Value(value, ".." in value and is_range(value), line, path, key)
        elif type(value) is _Number:
            values[key] = _Value(str(value), True, line, path, key)
        else:
            values[key] = _other(value, line, path, key)
    return _Map(values, line, path)


def _other(value: Any, line: _Line, up: _Path, step: str | int) -> Node:
    """The node of a value that is not the most usual kind. Raises ValueError where it is nested too deep."""
    if value is None or isinstance(value, bool):
        return _Value("null" if value is None else str(value).lower(), True, line, up, step)
    if isinstance(value, str):
        return _Value(str(value), isinstance(value, _Number) or is_range(value), line, up, step)
    path = (*up, step)
    if len(path) > MAX_DEPTH:
        raise ValueError
    if isinstance(value, dict):
        return _map(value, line, path)
    items = [_other(one, line, path, number) for number, one in enumerate(value)]
    return ListNode(items, _Within(line, path))


def _inner_return(content: str | bytes) -> bool:
    return b"\r" in (content.encode() if isinstance(content, str) else content).rstrip(b"\r\n")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_Number, parse_float=_Number, parse_constant=_no_number
)
# Which `raw_decode` wraps, for some time of its own.
_scan = _decoder.scan_once  # pyright: ignore[reportAttributeAccessIssue] - typeshed has none
