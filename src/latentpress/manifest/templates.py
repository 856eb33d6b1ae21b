"""Templates with {placeholders}, of prompts and of output names. Knows nothing of what file systems refuse. Pure.

After a placeholder's colon goes a format, as in Python's: `04` pads a number with zeros to that width, `.12` keeps at most
so much. A prompt counts characters. A file name counts bytes of UTF-8, as file systems do.
"""

import re
import string
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from latentpress.errors import nearest, short, shown
from latentpress.manifest.names import MAX_COMPONENT, MAX_PATH, MAX_TEMPLATE, MAX_TEXT, SUFFIXES

BUILT_IN = ("id", "index", "hash", "date", "time", "variant")

# Three digits are enough for any name, and Python refuses to read some thousands of them.
_FORMAT = re.compile(r"0(?P<width>[0-9]{1,3})|\.(?P<most>[0-9]{1,3})|(?P<bare>[1-9][0-9]{0,2})", re.ASCII)
_BRACE = re.compile(r"\{\{|\}\}|[{}]")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?", re.ASCII)
_JOINER, _NON_JOINER = "\u200d", "\u200c"
# What a cut should not leave at the end of a name, where it would be a mistake or be lost.
_AT_A_CUT = re.compile(rf"[\s.{_JOINER}{_NON_JOINER}]+\Z")
# What goes on from the character before: joiners, the Thai and Lao am, vowels and tails of Hangul in pieces, skin
# tones, the letters of flags. Marks are found by their category.
_GOES_ON = re.compile(rf"[{_JOINER}{_NON_JOINER}\u0e33\u0eb3\u1160-\u11ff\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
_REGIONAL = re.compile("[\U0001f1e6-\U0001f1ff]*\\Z")


class TemplateError(ValueError):
    """A template that cannot be filled; the message begins with what is wrong.

    field: whose template it is, if known; wrong: the part of the template that is meant, "" for one that is not matched.
    """

    def __init__(self, message: str, wrong: str = "") -> None:
        super().__init__(message)
        self.field, self.wrong = "", wrong

    def at(self, template: str) -> int:
        """Where in `template` it is wrong, as far as that can be seen; -1 where it is not."""
        if self.wrong:
            return template.find(self.wrong)
        opened = -1
        for found in _BRACE.finditer(template):
            mark, start = found[0], found.start()
            if opened >= 0:
                if mark != "}":
                    return opened if mark[0] == "{" else start + 1
                opened = -1
            elif mark == "}":
                return start
            elif mark == "{":
                opened = start
        return opened


@dataclass(frozen=True)
class Piece:
    """Text of a template, and the placeholder behind it, None at the end.

    spec: its format as written; width: to which numbers are padded, 0 for none; most: how much is kept, None for all;
    bare: whether that is written without a point, as it once was: it counts characters then.
    """

    text: str
    name: str | None
    spec: str = ""
    width: int = 0
    most: int | None = None
    bare: bool = False

    def in_prompt(self, text: str) -> str:
        """The placeholder's own text as the prompt has it."""
        return self._padded(text)[: self.most]

    def in_name(self, text: str) -> str:
        """The placeholder's own text as the file name has it; of one that no name can hold, as much as is refused too."""
        if self.width == 0 and len(text) <= (MAX_TEMPLATE if self.most is None else self.most) and text.isascii():
            return text  # as most are
        if self.width == 0 and self.most is not None and text.isascii() and text.isalnum():
            return text[: self.most]  # of a hash
        text = text[:MAX_TEMPLATE]
        if self.most is None or self.bare:
            return self._padded(text)[: self.most]
        return cut(text, self.most)

    def _padded(self, text: str) -> str:
        return text.zfill(self.width) if self.width and _NUMBER.fullmatch(text) else text


@lru_cache(1024)
def pieces_of(template: str) -> tuple[Piece, ...]:
    """The pieces of `template`. Raises TemplateError."""
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError:
        message = "has an unmatched brace; write {name} for a placeholder, {{ or }} for a brace"
        raise TemplateError(message) from None
    return tuple(_piece(text, name, spec or "", how) for text, name, spec, how in parsed)


def _piece(text: str, name: str | None, spec: str, conversion: str | None) -> Piece:
    # str.format's `!r` is Python, not part of a template: kept with the name, which then nothing fills.
    name = f"{name}!{conversion}" if conversion else name
    found = _FORMAT.fullmatch(spec)
    if name is None or not spec:
        return Piece(text, name)
    if not found:
        what = "after the colon goes .12 to keep at most 12 characters, or 04 to pad a number with zeros to 4 digits"
        wrong = f"{{{name}:{spec}}}"
        raise TemplateError(f"has {shown(wrong)}; {what}, neither above 999", wrong)
    most = found["most"] or found["bare"]
    return Piece(
        text, name, spec, int(found["width"] or 0), None if most is None else int(most), found["bare"] is not None
    )


def fill(template: str, texts: Mapping[str, str]) -> str:
    """The prompt `template` with each {name} replaced. Raises TemplateError."""
    filled: list[str] = []
    left = MAX_TEXT
    for piece in pieces_of(template):
        filled.append(piece.text)
        left -= len(piece.text)
        if piece.name is not None:
            if piece.name not in texts:
                raise TemplateError(_unknown(piece.name, list(texts)), f"{{{piece.name}")
            filled.append(piece.in_prompt(texts[piece.name]))
            left -= len(filled[-1])
        if left < 0:
            what = f"becomes longer than {MAX_TEXT:,} characters; shorten it"
            named = f"{{{piece.name}" if piece.name is not None else ""
            raise TemplateError(f"{what}, or what fills {named}}}" if named else what, named)
    return "".join(filled)


def old_formats(template: str) -> Iterator[str]:
    """What to say of each {name:12} of a template that can be filled: it is read as it was before formats were Python's."""
    for piece in dict.fromkeys(pieces_of(template)):
        if piece.bare:
            yield (
                f"has {{{piece.name}:{piece.spec}}}, which keeps the first {piece.spec} characters; write "
                f"{{{piece.name}:.{piece.spec}}} for that, or {{{piece.name}:0{piece.spec}}} to pad a number with zeros"
            )


class Template:
    """An output template, taken apart once for the many names it gives. names: its placeholders."""

    def __init__(self, template: str) -> None:
        self._pieces = pieces_of(template)
        self.names = {piece.name for piece in self._pieces if piece.name is not None}

    def filling(self, texts: Mapping[str, str]) -> "Filling":
        """The template with what `texts` holds filled in; the rest is left to `Filling.fill`."""
        parts: list[str | tuple[str, Piece]] = [""]

        def add(text: str) -> None:
            last = parts[-1]
            if isinstance(last, str):
                parts[-1] = last + text
            else:
                parts.append(text)

        for piece in self._pieces:
            add(piece.text)
            if piece.name is not None:
                own = texts.get(piece.name)
                if own is not None:
                    add(piece.in_name(own))
                else:
                    parts.append((piece.name, piece))
        return Filling(parts)

    def way_out(self, output: str, texts: Mapping[str, str]) -> str:
        """The end of a sentence about `output`, which no file can be called: what made it so; `texts` is what filled it."""
        parts = output.split("/")
        filled = {name: len(piece.in_name(texts[name]).encode()) for piece in self._pieces if (name := piece.name)}
        empty = [f"{{{name}}}" for name in sorted(filled) if not filled[name]]
        if empty and ("" in parts or parts[-1] in SUFFIXES):
            are = "is" if len(empty) == 1 else "are"
            return f": {' and '.join(empty)} {are} empty; put another such as {{seed}} beside it"
        longest = max(filled, key=filled.__getitem__, default="")
        long = len(output.encode()) > MAX_PATH or max(len(part.encode()) for part in parts) > MAX_COMPONENT
        return f"; {{{longest}:.80}} cuts it" if long and filled.get(longest, 0) > 80 else ""


class Filling:
    """A template filled in part. parts: text, or the name of a placeholder and the piece that says its format."""

    def __init__(self, parts: Sequence[str | tuple[str, Piece]]) -> None:
        self._parts = parts

    def fill(self, texts: Mapping[str, str]) -> str:
        """The name with the placeholders left, all of which are in `texts`."""
        return "".join([part if isinstance(part, str) else part[1].in_name(texts[part[0]]) for part in self._parts])


def template_problems(template: str, known: Sequence[str]) -> Iterator[str]:
    """What is wrong with an output template whatever its placeholders become."""
    if len(template) > MAX_TEMPLATE:
        yield f"output has {len(template):,} characters, and {MAX_TEMPLATE:,} are the most; shorten it"
        return
    try:
        fill(template, dict.fromkeys(known, "x"))
    except TemplateError as error:
        yield f"output {error}"
        return
    if any("\\" in piece.text for piece in pieces_of(template)):
        yield f"output {shown(template)} holds a backslash; separate folders with /"
    elif not template.endswith(SUFFIXES):
        yield f"output {shown(template)} does not end with {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
    elif template.startswith("/"):
        yield f"output {shown(template)} is absolute; it must lie inside the output folder"
    elif ".." in template.split("/"):
        yield f"output {shown(template)} climbs out with '..'; it must lie inside the output folder"


def _unknown(name: str, known: Sequence[str]) -> str:
    close = nearest(name, known)
    hint = f"did you mean {{{close}}}?" if close else f"known: {', '.join(known) or 'none, the manifest has no axis'}"
    return f"names the placeholder {{{short(name)}}}, which nothing fills; {hint}"


def cut(text: str, size: int) -> str:
    """At most `size` bytes of `text` as UTF-8: whole characters, with their accents and joined emoji, where one fits.

    Blanks and dots that come to stand at the cut are dropped; a text that fits stays as it is.
    """
    if text.isascii():
        return text if len(text) <= size else _AT_A_CUT.sub("", text[:size])
    written = text.encode()
    if len(written) <= size:
        return text
    end = whole = len(written[:size].decode(errors="ignore"))
    while whole and _goes_on(text, whole):
        whole -= 1
    return _AT_A_CUT.sub("", text[: whole or end])


def _goes_on(text: str, at: int) -> bool:
    """Whether the character at `at` belongs to the one before it."""
    char = text[at]
    if text[at - 1] == _JOINER or _GOES_ON.match(char) or unicodedata.category(char)[0] == "M":
        return True
    # A flag is two letters, so of a row of them every other one begins one.
    flags = _REGIONAL.search(text[:at]) if _REGIONAL.match(char) else None
    return flags is not None and len(flags[0]) % 2 == 1
