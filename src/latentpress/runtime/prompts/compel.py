r"""The weighting dialect of the package compel: word++, (several words)1.3, "quoted"-, (nested (parts)+)1.2.

The grammar is that of compel 2 (github.com/damian0815/compel, doc/syntax.md), as its parser takes it: each + weighs 1.1,
each - 0.9, nested weights multiply; a weight stands right behind a word, a bracket or a quotation, a number behind the
latter two alone; brackets and quotations without a weight fall away. Within them only words, commas, full stops and
further brackets may stand, else the characters are text. `\(`, `\)`, `\"` are characters. Our own parser, because
`import compel` loads torch and transformers, which planning a manifest does not; the tests hold it to compel's.
"""

import re
from collections.abc import Iterator

from latentpress.errors import UsageError, shown
from latentpress.runtime.prompts.parts import Part, Section

_PLUS, _MINUS = 1.1, 0.9
_SYNTAX = r"()\",.+\-="
_SPACE = re.compile(r"\s*", re.ASCII)
_WORD = re.compile(
    rf"(?>\\[{_SYNTAX}]|[+-](?![\s{_SYNTAX}]|\Z)|-?[0-9]+|[^\s{_SYNTAX}])++", re.ASCII
)  # possessive, because compel's parser does not backtrack into a word
_ANYTHING = re.compile(r"\S+", re.ASCII)
# Not of an escaped one: what lies behind it would be read once for each, in vain.
_OPENED = re.compile(r"(?<!\\)(?:\\\\)*\(")
_QUOTED = re.compile(r'"((?:\\"|[^"\n\r])*)"')
_ESCAPED = re.compile(r"\\+([()\"])")
_SIGNS = r"\++|-+"
_WEIGHT = rf"{_SIGNS}|[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+"
_BEHIND_WORD, _BEHIND_GROUP = re.compile(_SIGNS), re.compile(_WEIGHT)
_ATTEND = re.compile(rf"\s*\.attend\s*\(\s*({_WEIGHT})\s*\)", re.ASCII)
_OTHERWISE = re.compile(r"(?<!\\)\)\s*\.(?:and|add|blend)\s*\(|\.swap\s*\(|\b(?:use|with)Lora\s*\(", re.ASCII)

# The parts of a stretch of text, and where it ends.
_Found = tuple[list[Part], int]


def parse(prompt: str) -> Section:
    """The parts of `prompt`, at least one; neighbours of equal weight are one part, joined by a space.

    Raises UsageError for .and(), .add(), .blend(), .swap() and LoRA triggers, which are not weights.
    """
    if match := _OTHERWISE.search(prompt):
        raise UsageError(
            f"{shown(match.group().strip())} in the prompt is compel's, but no weight, and not supported; "
            "only word++, (words)1.3 and the like are"
        )
    text = re.sub(r",(\S)", r", \1", prompt)  # as compel does, before anything else
    return tuple(_joined(_Text(text).parts())) or (Part("", 1.0),)


class _Text:
    """The text of a prompt or of a quotation. Each rule of the grammar is a method that returns what it finds."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._groups: dict[int, _Found | None] = {}
        # From the last bracket to the first, so that what a bracket holds is known when it is read: the methods below
        # call each other, and would else as deep as brackets nest, which Python bounds.
        for bracket in reversed(list(_OPENED.finditer(text))):
            self._group(bracket.end() - 1)

    def parts(self) -> Iterator[Part]:
        """The parts of a whole prompt; what fits no rule is text up to the next space."""
        position = self._past_space(0)
        while position < len(self.text):
            found = self._item(position)
            if found is None:
                word = _ANYTHING.match(self.text, position)
                assert word is not None, "past the spaces stands something"
                found = [Part(_unescaped(word.group()), 1.0)], word.end()
            yield from found[0]
            position = self._past_space(found[1])

    def words(self, position: int) -> _Found:
        """The parts inside a bracket or quotation, up to what cannot stand there."""
        parts: list[Part] = []
        while True:
            position = self._past_space(position)
            if (found := self._item(position) or self._word(position)) is None:
                return parts, position
            parts += found[0]
            position = found[1]

    def _item(self, position: int) -> _Found | None:
        """A bracket, a quotation, or a word that has a weight."""
        group = self._group(position)
        target = group or self._word(position, marks=False)
        if target is None:
            return None
        parts, end = target
        weight = _ATTEND.match(self.text, end)
        written = weight[1] if weight else ""
        if weight is None and (weight := (_BEHIND_GROUP if group else _BEHIND_WORD).match(self.text, end)):
            written = weight.group()
        if weight is None:
            return group
        return [Part(part.text, part.weight * _value(written)) for part in parts], weight.end()

    def _group(self, position: int) -> _Found | None:
        if position not in self._groups:
            self._groups[position] = self._bracket(position) or self._quotation(position)
        return self._groups[position]

    def _bracket(self, position: int) -> _Found | None:
        if not self.text.startswith("(", position):
            return None
        parts, end = self.words(position + 1)
        return (parts, end + 1) if self.text.startswith(")", end) else None

    def _quotation(self, position: int) -> _Found | None:
        if (quoted := _QUOTED.match(self.text, position)) is None:
            return None
        inside = _Text(quoted[1])
        if not inside.text.strip():
            return [Part("", 1.0)], quoted.end()
        parts, end = inside.words(0)
        return (parts, quoted.end()) if end == len(inside.text) else None

    def _word(self, position: int, *, marks: bool = True) -> _Found | None:
        """marks: whether a comma or a full stop counts."""
        if word := _WORD.match(self.text, position):
            return [Part(_unescaped(word.group()), 1.0)], word.end()
        if marks and self.text[position : position + 1] in (",", "."):
            return [Part(self.text[position], 1.0)], position + 1
        return None

    def _past_space(self, position: int) -> int:
        space = _SPACE.match(self.text, position)
        return space.end() if space else position


def _value(written: str) -> float:
    if written[0] in "+-":
        return (_PLUS if written[0] == "+" else _MINUS) ** len(written)
    return float(written)


def _unescaped(text: str) -> str:
    # Backslashes before the character fall away however many there are: compel takes them off again and again.
    return _ESCAPED.sub(r"\1", text)


def _joined(parts: Iterator[Part]) -> list[Part]:
    joined: list[Part] = []
    for part in parts:
        if joined and joined[-1].weight == part.weight:
            joined[-1] = Part(f"{joined[-1].text} {part.text}", part.weight)
        else:
            joined.append(part)
    return joined
