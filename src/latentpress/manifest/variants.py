r"""Reads a prompt's braces and wildcards: `{red|blue}`, `{~2::red|blue}`, `{2$$a|b|c}`, `{color=red|blue}`, `__color__`.

Placeholders, `{style}`, and `{{` stay as they are, for templates.py. In braces, a `|` in square brackets is theirs, so that
A1111's [a|b] may be an option, and `\|` is the character. Reads no files: it is handed the lines of wildcards.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from latentpress.errors import short, shown
from latentpress.manifest.braces import Braces, Option, Part
from latentpress.manifest.nodes import Place

MAX_DEPTH = 64
# Options put together at a time.
_MOST = 20

# The options of a wildcard by its name, which may be a pattern. Raises TextError.
Lines = Callable[[str], Sequence[Option]]

_MARK = re.compile(r"\\[\[\]|]|[{}\[\]|]")
_WILDCARD = re.compile(r"(?P<escaped>\\)?__(?P<how>[~!@])?(?P<name>[\w.*?-][\w./*?-]*?)__(?!_)")
_HEAD = re.compile(
    r"(?:(?P<name>[^\W\d]\w*)=)?(?P<how>[~!@])?"
    r"(?:(?P<bounds>(?P<low>[0-9]{1,6})?(?P<to>-)?(?P<high>[0-9]{1,6})?)\$\$(?:(?P<between>[^${}]*)\$\$)?)?"
)
_WEIGHT = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})::")
_VARIABLE = re.compile(r"\$\{\s*\w+\s*\??=")


class TextError(ValueError):
    """A prompt whose braces or wildcards cannot be read; the message begins with what is wrong.

    at: where in the prompt, if that is known; elsewhere: what is wrong in files of wildcards instead, each with its place;
    all: this one and what else is wrong in the prompt, in order.
    """

    def __init__(self, message: str, at: int | None = None, elsewhere: Sequence[tuple[Place, str]] = ()) -> None:
        super().__init__(message)
        self.at, self.elsewhere = at, elsewhere
        self.all: Sequence[TextError] = (self,)


@dataclass
class Read:
    """A prompt that has been read. names: the placeholders that its braces fill; notes: what is no mistake."""

    parts: Sequence[Part]
    names: dict[str, None] = field(default_factory=dict[str, None])
    notes: dict[str, None] = field(default_factory=dict[str, None])

    @property
    def plain(self) -> bool:
        """Whether it is one text, whatever the seed."""
        return all(isinstance(part, str) for part in self.parts)


def read_variants(text: str, lines: Lines | None = None) -> Read:
    """The braces and wildcards of `text`; without `lines` wildcards are characters. Raises TextError."""
    if "{" not in text and (lines is None or "__" not in text):
        return Read([text])
    if variable := _VARIABLE.search(text):
        what = "has a variable of dynamicprompts, ${name=...}; write {name=red|blue}, and {name} for it again"
        raise TextError(what, variable.start())
    structure = _structure(text, doubled=True)
    if structure is None:
        structure = _structure(text, doubled=False)
    read = Read([])
    if structure is None:  # what is not closed is for templates.py to report
        read.parts = [text]
        return read
    reader = _Reader(text, structure, lines, read)
    read.parts = reader.parts(0, len(text))
    if reader.wrong:
        error = min(reader.wrong, key=lambda one: one.at or 0)
        error.all = sorted(reader.wrong, key=lambda one: one.at or 0)
        raise error
    return read


def read_option(text: str, place: Place, lines: Lines | None) -> tuple[Option, Read]:
    """A line of a file as an option, its weight before `::`. Raises TextError, whose `at` counts in the line."""
    weight = _WEIGHT.match(text)
    start = weight.end() if weight else 0
    try:
        read = read_variants(text[start:], lines)
    except TextError as error:
        for one in error.all:
            one.at = start + (one.at or 0)
        raise
    heavy = float(weight[1]) if weight else 1.0
    return Option(text[start:], read.parts, heavy, place.within(text, start), heavy != 1), read


def merged(options: Sequence[Option]) -> Sequence[Option]:
    """`options` without those written twice, whose weights add up."""
    if len({option.text for option in options}) == len(options):
        return options
    found: dict[str, Option] = {}
    for option in options:
        before = found.get(option.text)
        if before is not None:
            weighted = before.weighted or option.weighted
            option = replace(before, weight=before.weight + option.weight, weighted=weighted)
        found[option.text] = option
    return list(found.values())


@dataclass
class _Level:
    """Open braces: where they begin, their bars with the square bracket each stands in, and those brackets that closed."""

    start: int
    bars: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    brackets: list[int] = field(default_factory=list[int])
    closed: set[int] = field(default_factory=set[int])


# Where braces begin -> where they end, and their bars.
_Structure = dict[int, tuple[int, list[int]]]


def _structure(text: str, *, doubled: bool) -> _Structure | None:
    """Every pair of braces; None where one is unmatched. doubled: whether `{{` outside of braces is a character."""
    found: _Structure = {}
    levels: list[_Level] = []
    at = 0
    while match := _MARK.search(text, at):
        start, at, mark = match.start(), match.end(), match.group()
        if not levels:
            if doubled and mark in "{}" and text.startswith(mark, at):
                at += 1
            elif mark == "}":
                return None
            elif mark == "{":
                levels.append(_Level(start))
            continue
        level = levels[-1]
        if mark == "{":
            levels.append(_Level(start))
            if len(levels) > MAX_DEPTH:
                raise TextError(f"has braces nested deeper than {MAX_DEPTH} levels", start)
        elif mark == "}":
            levels.pop()
            found[level.start] = start, [bar for bar, bracket in level.bars if bracket not in level.closed]
        elif mark == "|":
            level.bars.append((start, level.brackets[-1] if level.brackets else -1))
        elif mark == "[":
            level.brackets.append(start)
        elif mark == "]" and level.brackets:
            level.closed.add(level.brackets.pop())
    return None if levels else found


class _Reader:
    """Reads one text by its structure; names and notes go to `read`. wrong: what cannot be read, and is left out."""

    def __init__(self, text: str, structure: _Structure, lines: Lines | None, read: Read) -> None:
        self._text, self._structure, self._lines, self._read = text, structure, lines, read
        self.wrong: list[TextError] = []

    def parts(self, start: int, end: int, *, inside: bool = False) -> list[Part]:
        """What stands from `start` to `end`; inside: of braces, where a bar may be a character."""
        parts: list[Part] = []
        plain = start

        def text(upto: int) -> str:
            written = self._text[plain:upto]
            return written.replace("\\|", "|") if inside else written

        for at, after, found in self._found(start, end):
            for part in (text(at), *found):
                _add(parts, part)
            plain = after
        _add(parts, text(end))
        return parts

    def _found(self, start: int, end: int) -> Iterator[tuple[int, int, list[Part]]]:
        """(from, to, the parts it is) of all that is more than text."""
        at = start
        while at < end:
            brace = self._text.find("{", at, end)
            wildcard = self._wildcard(at, end if brace < 0 else brace)
            begins = wildcard.start() if wildcard else brace
            if begins < 0:
                return
            if wildcard is None and brace not in self._structure:
                at = brace + 1
                continue
            at = wildcard.end() if wildcard else self._structure[brace][0] + 1
            found: list[Part] = []
            try:
                found = [self._of_wildcard(wildcard)] if wildcard else self._of_braces(brace, *self._structure[brace])
            except TextError as error:
                error.at = begins if error.at is None else error.at
                self.wrong.append(error)
            yield begins, at, found

    def _wildcard(self, start: int, end: int) -> re.Match[str] | None:
        if self._lines is None or self._text.find("__", start, end) < 0:
            return None
        return _WILDCARD.search(self._text, start, end)

    def _of_wildcard(self, match: re.Match[str]) -> Part:
        if match["escaped"]:
            return match.group()[1:]
        assert self._lines is not None
        return self._braces(self._lines(match["name"]), None, match["how"], match.group())

    def _of_braces(self, start: int, close: int, bars: list[int]) -> list[Part]:
        head = _HEAD.match(self._text, start + 1, close)
        assert head is not None
        bounds = head["bounds"] is not None
        sole = head.end() == start + 1
        bars = [bar for bar in bars if bar >= head.end()]
        alone = None if bars or self._lines is None else _WILDCARD.fullmatch(self._text, head.end(), close)
        if sole and not bars and alone is None:  # a placeholder, or braces that are characters
            if weighted := _WEIGHT.match(self._text, start + 1, close):
                option = shown(self._text[start : close + 1])
                what = f"has {option}, a weight of one option alone"
                raise TextError(f"{what}; write the others beside it, as in {{~{weighted[1]}::red|blue}}")
            return ["{", *self.parts(start + 1, close), "}"]
        if alone is not None and not alone["escaped"] and self._lines is not None:
            how = head["how"] or alone["how"]
            options, key = self._lines(alone["name"]), alone.group()
        else:
            ends = [*bars, close]
            options = merged(
                [self._option(a, b) for a, b in zip([head.end(), *(b + 1 for b in bars)], ends, strict=True)]
            )
            how, key = head["how"], options[0].text
        if head["name"]:
            self._read.names[head["name"]] = None
            key = f"{head['name']}="
        low, high = _bounds(head, len(options)) if bounds else (1, 1)
        return [self._braces(options, head["name"], how, key, low, high, head["between"])]

    def _option(self, start: int, end: int) -> Option:
        weight = _WEIGHT.match(self._text, start, end)
        start = weight.end() if weight else start
        parts = self.parts(start, end, inside=True)
        heavy = float(weight[1]) if weight else 1.0
        return Option(self._text[start:end], parts, heavy, weighted=heavy != 1)

    def _braces(
        self,
        options: Sequence[Option],
        name: str | None,
        how: str | None,
        key: str,
        low: int = 1,
        high: int = 1,
        between: str | None = None,
    ) -> Braces:
        if how == "@":
            raise TextError(
                f"has cyclical braces, {{@...}} ({shown(key)}); list maps as an axis of `matrix` to move words together"
            )
        if how != "~" and any(option.weighted for option in options):
            self._read.notes[
                f"has weights at {shown(short(key))}, and all options are rendered; "
                "weights count where one is drawn, as in {~2::red|blue}"
            ] = None
        return Braces(options, name, how == "~", key, low, high, "," if between is None else between)


def _add(parts: list[Part], part: Part) -> None:
    """Put `part` behind the others; a text goes on the text before it."""
    last = parts[-1] if parts else None
    if isinstance(part, str) and isinstance(last, str):
        parts[-1] = last + part
    elif part != "":
        parts.append(part)


def _bounds(head: re.Match[str], count: int) -> tuple[int, int]:
    """How many options at least and at most, of `count`."""
    written = f"{head['bounds']}$$"
    if not head["low"] and not head["high"]:
        raise TextError(f"has {written!r} without a number before it; write {{2$$red|green|blue}}")
    low = int(head["low"] or 1)
    high = int(head["high"]) if head["high"] else (count if head["to"] else low)
    if low > count:
        raise TextError(f"has {written!r} before {count:,} options; ask for at most as many as there are")
    high = min(high, count)
    if high < low:
        raise TextError(f"has {written!r}, which runs backwards; write the smaller number first")
    if high > _MOST:
        raise TextError(f"has {written!r}, and {_MOST} options at a time are the most")
    return low, high
