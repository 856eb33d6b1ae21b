"""What is written in a file, as three kinds of node that remember where they stand; and what is wrong with it.

Scalars mean what YAML 1.2 says: `no`, `off` and `none` are text, `12:30` is text, `true` and `null` are not. Knows nothing
of manifests, nor how a text is read (readers).
"""

import contextlib
import gc
import math
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from latentpress.errors import ManifestError, condensed, counted, nearest, one_line, shape, shown

MAX_BYTES = 16 * 2**20
MAX_DEPTH = 64
OWN_KEY = "x-"
# Unknown keys after which nobody guesses what one was meant to be: each guess costs some 50 microseconds, and a file with so
# many is no manifest.
_GUESSED = 1000
# As many mistakes are told.
_TOLD = 100
# The job that some messages name: they are the same for any.
_JOB = re.compile(r"(^| in )job [0-9]+(?=; | is )")

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

    def within(self, text: str, at: int) -> "Place":
        """The place of what is at `at` in the `text` that begins here, where that is known; else this one."""
        return self

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Literal(Place):
    """Where a text begins that its file has character by character."""

    __slots__ = ()

    def within(self, text: str, at: int) -> Place:
        """The place of what is at `at` in the `text` that begins here."""
        lines = text.count("\n", 0, at)
        column = at - text.rfind("\n", 0, at) if lines else self.column + at
        return Literal(self.file, self.line + lines, column)


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

    file: the one whose mistakes come first, where others are read too; told: how often something was added to either.
    """

    def __init__(self, file: str = "") -> None:
        self._file = file
        self.told = 0
        self._found: dict[str, tuple[Place, str]] = {}
        self._hints: dict[tuple[str, tuple[str, ...]], str] = {}
        self.warnings: dict[str, None] = {}

    def add(self, place: Place, message: str, kind: str = "") -> None:
        """Record `file:line:col: message`, in one line whatever a value in it holds.

        kind: the same for messages at one place that say the same, by default where they differ in values alone.
        """
        self.told += 1
        self._found.setdefault(f"{place}: {one_line(message)}", (place, kind or shape(message)))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._found)

    def warn(self, place: Place, message: str) -> None:
        """Keep `file:line:col: warning: message`, which refuses nothing."""
        self.told += 1
        self.warnings[f"{place}: warning: {one_line(message)}"] = None

    def unknown_key(self, key: Scalar, known: Sequence[str], where: str) -> None:
        """Record a key that `where` does not have; those that begin with x- are notes of people's own, and ignored."""
        if key.text.startswith(OWN_KEY):
            return
        asked = key.text, tuple(known)
        hint = self._hints.get(asked)
        if hint is None:
            guessing = len(self._hints) < _GUESSED
            close = nearest(key.text, known) if guessing else None
            hint = f"did you mean {close!r}?" if close else f"known keys: {', '.join(known)}"
            if guessing:
                self._hints[asked] = hint
        self.add(key.place, f"unknown key {shown(key.text)} in {where}; {hint}")

    def raise_if_any(self) -> None:
        """Raise ManifestError with everything found, each file's in its order; the same mistake at many places once."""
        if self._found:
            files = {place.file: None for place, _ in self._found.values()}
            order = {file: number for number, file in enumerate(sorted(files, key=lambda file: file != self._file))}
            places = {said: place for said, (place, _) in self._found.items()}
            found = sorted(places, key=lambda said: (order[(at := places[said]).file], at.line, at.column))
            messages = {said: said.removeprefix(f"{places[said]}: ") for said in found}
            all_of_them = [(places[said].file, places[said].line, messages[said]) for said in found]
            raise ManifestError(_told(messages, self._found), all_of_them)


def _told(messages: Mapping[str, str], found: Mapping[str, tuple[Place, str]]) -> list[str]:
    """The lines to tell of all, line -> its message: what is the same once with its places, and a hundred at most."""
    same: dict[str, list[str]] = {}
    for said, message in messages.items():
        same.setdefault(_JOB.sub(r"\1job", message), []).append(said)
    kinds = {
        first + _elsewhere([found[other][0] for other in others]): found[first] for first, *others in same.values()
    }
    lines = condensed(list(kinds), kinds.__getitem__)
    more = len(lines) - _TOLD
    if more <= 0:
        return lines
    place = next(place for line, (place, _) in kinds.items() if lines[_TOLD].startswith(line))
    return [*lines[:_TOLD], f"{place}: {counted(more, 'more mistake')} from here on; mend those above first"]


def _elsewhere(places: Sequence[Place]) -> str:
    """Where else a mistake was made, to stand behind it."""
    if len(places) < 2:
        return f" (and at {places[0]})" if places else ""
    return f" (and at {len(places):,} more places, the last {places[-1]})"


def described(node: Node) -> str:
    """What `node` is, in words, for an error."""
    if isinstance(node, MapNode):
        return "a map"
    if isinstance(node, ListNode):
        return "a list"
    return "empty" if node.value is None else shown(node.text)


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
