"""YAML text as three kinds of node that remember where they stand. Knows nothing of manifests.

Scalars follow YAML 1.2: `no`, `off` and `none` are text, `12:30` is text, `true` and `null` are not.
An alias is a reference to the node it names and is never copied, so nested aliases cost nothing.
"""

import contextlib
import gc
import math
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import yaml

from latentpress.errors import ManifestError, condensed, one_line, shape, shown

MAX_BYTES = 16 * 2**20
MAX_DEPTH = 64
# Mistakes after which nobody guesses what a key was meant to be.
_GUESSED = 1000

_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_TRUTHS = {
    spelt: truth for word, truth in (("true", True), ("false", False)) for spelt in (word, word.title(), word.upper())
}
_NULLS = ("", "~", "null", "Null", "NULL")


# Not frozen, which takes three times as long to make: a file may hold a million of each.
class Place:
    """A position in a file: line and column count from 1; a reader may look for the column once it is asked for."""

    __slots__ = ("_column", "file", "line")

    def __init__(self, file: str, line: int, column: int) -> None:
        self.file, self.line, self._column = file, line, column

    @property
    def column(self) -> int:
        """The column, counted in characters."""
        return self._column

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(slots=True, eq=False)
class Scalar:
    """A leaf: its text as written, and whether it stood without quotes."""

    text: str
    plain: bool
    place: Place

    @property
    def null(self) -> bool:
        """Whether it means null: written so, or `~`, or nothing at all, without quotes."""
        return self.plain and self.text in _NULLS

    @property
    def value(self) -> str | int | float | bool | None:
        """What the text means under YAML 1.2; quoted text is always a string."""
        if not self.plain:
            return self.text
        if self.text in _NULLS:
            return None
        if self.text in _TRUTHS:
            return _TRUTHS[self.text]
        if _INT.fullmatch(self.text) and len(self.text) <= 40:
            return int(self.text)
        if _FLOAT.fullmatch(self.text) and math.isfinite(number := float(self.text)):
            return number
        return self.text


@dataclass(slots=True, eq=False)
class ListNode:
    """A list."""

    items: list["Node"]
    place: Place


@dataclass(slots=True, eq=False)
class MapNode:
    """A map from text keys to nodes; `keys` holds each key's own node, for its position."""

    values: dict[str, "Node"]
    keys: dict[str, Scalar]
    place: Place


Node = Scalar | ListNode | MapNode


class Problems:
    """Mistakes found so far, each once, in the order found. warnings: what is none, as lines, each once.

    file: the one whose mistakes come first, where others are read too.
    """

    def __init__(self, file: str = "") -> None:
        self._file = file
        self._found: dict[str, tuple[Place, str]] = {}
        self.warnings: dict[str, None] = {}

    def add(self, place: Place, message: str, kind: str = "") -> None:
        """Record `file:line:col: message`, in one line whatever a value in it holds.

        kind: the same for messages at one place that say the same, by default where they differ in values alone.
        """
        self._found.setdefault(f"{place}: {one_line(message)}", (place, kind or shape(message)))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._found)

    def warn(self, place: Place, message: str) -> None:
        """Keep `file:line:col: warning: message`, which refuses nothing."""
        self.warnings[f"{place}: warning: {one_line(message)}"] = None

    def unknown_key(self, key: Scalar, known: Sequence[str], where: str) -> None:
        """Record a key that `where` does not have."""
        # Each costs some 50 microseconds; a file with so many is no manifest, and a guess helps nobody.
        close = get_close_matches(key.text, known, 1) if len(self._found) < _GUESSED else []
        hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
        self.add(key.place, f"unknown key {shown(key.text)} in {where}; {hint}")

    def raise_if_any(self) -> None:
        """Raise ManifestError with everything found, each file's in its order; of many that say the same, their count."""
        if self._found:
            files = {place.file: None for place, _ in self._found.values()}
            order = {file: number for number, file in enumerate(sorted(files, key=lambda file: file != self._file))}
            places = {said: place for said, (place, _) in self._found.items()}
            found = sorted(places, key=lambda said: (order[(at := places[said]).file], at.line, at.column))
            raise ManifestError(condensed(found, self._found.__getitem__))


def described(node: Node) -> str:
    """What `node` is, in words, for an error."""
    if isinstance(node, MapNode):
        return "a map"
    if isinstance(node, ListNode):
        return "a list"
    return "empty" if node.value is None else shown(node.text)


def read_yaml(text: str, file: str, problems: Problems) -> Node | None:
    """The root node of the YAML `text` of `file`, None when it holds nothing.

    Raises ManifestError when it is not YAML; duplicate keys go to `problems`.
    """
    start = Place(file, 1, 1)
    try:
        with uncollected():
            return _Builder(file, problems).build(yaml.parse(text, Loader=_loader()))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else start
        raise ManifestError([f"{place}: not YAML: {error.problem or error.context}"]) from None
    except yaml.YAMLError as error:
        raise ManifestError([f"{start}: not YAML: {' '.join(str(error).split())}"]) from None


def read_flow(text: str, place: Place, problems: Problems) -> Node | None:
    """The list or map that `text` is in YAML, all of it at `place`; None once it is reported that it is none."""
    try:
        return _Builder(place.file, problems, place).build(yaml.parse(text, Loader=_loader()))
    except (yaml.YAMLError, ManifestError) as error:
        said = error.problem if isinstance(error, yaml.MarkedYAMLError) else None
        problems.add(place, f"{shown(text)} is not a list or a map: {said or 'it cannot be read'}")
        return None


@contextlib.contextmanager
def uncollected() -> Generator[None]:
    """No looking for garbage within: a long list of jobs is a million small objects that all stay, and going through them
    again and again takes a sixth of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _loader() -> type[yaml.SafeLoader]:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Builder:
    """Builds nodes from the parser's events with a stack of its own, so depth is bounded by a rule, not a crash.

    place: where all of it is, if it is not a file.
    """

    def __init__(self, file: str, problems: Problems, place: Place | None = None) -> None:
        self.file, self.place = file, place
        self.problems = problems
        self.anchors: dict[str, Node] = {}
        self.open: list[tuple[ListNode | MapNode, str | None]] = []
        self.keys: list[Scalar | None] = []
        self.root: Node | None = None

    def build(self, events: Iterator[yaml.Event]) -> Node | None:
        documents = 0
        for event in events:
            place = self._place(event)
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise ManifestError([f"{place}: a second document begins; a manifest is one document"])
            elif isinstance(event, yaml.ScalarEvent):
                self._check_tag(event.tag, place)
                node = Scalar(event.value, not event.style and event.tag is None, place)
                self._attach(node)
                self._name(event.anchor, node)
            elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
                self._check_tag(event.tag, place)
                opened = ListNode([], place) if isinstance(event, yaml.SequenceStartEvent) else MapNode({}, {}, place)
                self._attach(opened)
                self.open.append((opened, event.anchor))
                self.keys.append(None)
                if len(self.open) > MAX_DEPTH:
                    raise ManifestError([f"{place}: nested deeper than {MAX_DEPTH} levels"])
            elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
                closed, anchor = self.open.pop()
                self.keys.pop()
                # Named only once closed: an alias inside its own anchor finds nothing, so no node contains itself.
                self._name(anchor, closed)
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor not in self.anchors:
                    raise ManifestError([f"{place}: alias *{event.anchor} names no finished anchor before it"])
                self._attach(self.anchors[event.anchor], place)
        if isinstance(self.root, Scalar) and self.root.value is None:
            return None
        return self.root

    def _place(self, event: yaml.Event) -> Place:
        if self.place is not None:
            return self.place
        mark = event.start_mark
        return Place(self.file, mark.line + 1, mark.column + 1)

    def _name(self, anchor: str | None, node: Node) -> None:
        if anchor:
            self.anchors[anchor] = node

    def _check_tag(self, tag: str | None, place: Place) -> None:
        if tag not in (None, "!", "tag:yaml.org,2002:str"):
            self.problems.add(place, f"tag {shown(tag)} is not used in manifests; leave it out")

    def _attach(self, node: Node, place: Place | None = None) -> None:
        if not self.open:
            self.root = node
            return
        parent = self.open[-1][0]
        if isinstance(parent, ListNode):
            parent.items.append(node)
            return
        key = self.keys[-1]
        if key is None:
            if not isinstance(node, Scalar):
                raise ManifestError([f"{place or node.place}: a key must be text, not {described(node)}"])
            self.keys[-1] = Scalar(node.text, node.plain, place or node.place)
            return
        self.keys[-1] = None
        if key.text in parent.values:
            first = parent.keys[key.text].place
            self.problems.add(key.place, f"key {shown(key.text)} is given twice; the first is on line {first.line}")
            return
        parent.values[key.text] = node
        parent.keys[key.text] = key
