"""What becomes of a prompt's characters before CLIP's byte pairs, with frozen Unicode data: the same on every Python.

`basic` is what transformers 4 does where ftfy is not installed; `clip` is what OpenAI's CLIP and open_clip do. Python's
own tables, which grow with each version, are asked only of characters that Unicode 14 has: that is Python 3.11's, the
oldest we run on, and Unicode promises that their compositions (NFC) and small letters stay. Later characters are
neither composed nor lowered. Which characters are letters and numbers is frozen at Unicode 18.
"""

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable
from functools import cache

from latentpress.runtime.prompts import unicode_tables

CLEANINGS = ("basic", "clip")

# Chinese characters are words of their own: the blocks of CJK Unified Ideographs.
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
# Words, single digits, runs of anything else: OpenAI's pattern, for text in which `_kinds` stand for characters.
_PIECES = re.compile(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[a-zA-Z]+|[0-9]|[^ a-zA-Z0-9]+")

# In CLIP's pattern case does not count: so a long s makes an 's, and the iota below a letter, neither a letter nor
# anything else, falls between the pieces.
_ODD = {"ſ": "s", "\u0345": " "}


def cleaned(text: str, cleaning: str = "basic") -> str:
    """`text` in small letters with single spaces, by one of CLEANINGS; `pieces` takes nothing else."""
    if text.isascii() and text.isprintable() and (cleaning == "basic" or "&" not in text):
        return " ".join(text.lower().split())  # most prompts: nothing to take out, to mend or to compose
    return _basic(text) if cleaning == "basic" else _clip(text)


def pieces(text: str) -> list[str]:
    """The pieces of cleaned `text` that byte pairs do not cross."""
    if text.isascii():
        return _PIECES.findall(text)
    return [text[match.start() : match.end()] for match in _PIECES.finditer(text.translate(_kinds))]


def newer(text: str) -> bool:
    """Whether `text` has a character that Unicode 14 does not: what `basic` dropped before its tables were frozen."""
    return not text.isascii() and any(map(_newer, text))


def dropped(text: str) -> str:
    """The characters of `text` that `basic` leaves out, each once, in order."""
    if text.isascii() and text.isprintable():
        return ""
    return "".join(dict.fromkeys(char for char in text if _plain[ord(char)] == ""))


def _basic(text: str) -> str:
    """Without control characters and the like, ideographs apart, words in Unicode's NFC."""
    words = _each_run(text.translate(_plain), lambda run: unicodedata.normalize("NFC", run)).split()
    return " ".join(" ".join(_each_run(word, str.lower) for word in words).split())


def _clip(text: str) -> str:
    """Mended by ftfy, entities of HTML read, nothing left out."""
    import ftfy

    mended = ""
    while mended != text:  # as ftfy itself does, with its own NFC
        mended = text
        text = _each_run(ftfy.fix_text(text, normalization=None), lambda run: unicodedata.normalize("NFC", run))
    return " ".join(_each_run(html.unescape(html.unescape(text)), str.lower).split())


def _each_run(text: str, change: Callable[[str], str]) -> str:
    """`text` with `change` applied to what lies between the characters that Unicode 14 does not have."""
    if not newer(text):
        return change(text)
    runs: list[str] = []
    start = 0
    for index, char in enumerate(text):
        if _newer(char):
            runs += [change(text[start:index]), char]
            start = index + 1
    return "".join([*runs, change(text[start:])])


class _Ranges:
    """A table of `unicode_tables`."""

    def __init__(self, table: str) -> None:
        self._edges: list[int] = []
        edge = 0
        for number in table.split():
            edge += int(number, 36)
            self._edges.append(edge)

    def __contains__(self, code: int) -> bool:
        return bisect_right(self._edges, code) % 2 == 1


_ranges = cache(_Ranges)  # most runs read no prompt that asks for a table


@cache
def _newer(char: str) -> bool:
    return not char.isascii() and ord(char) in _ranges(unicode_tables.UNASSIGNED)


class _Plain(dict[int, str]):
    """What `basic` writes for a character, by its code: for str.translate."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if code in _ranges(unicode_tables.SPACES):
            char = " "
        elif code in _ranges(unicode_tables.DROPPED):
            char = ""
        elif any(first <= code <= last for first, last in _IDEOGRAPHS):
            char = f" {char} "
        self[code] = char
        return char


class _Kinds(dict[int, str]):
    """A character of ASCII that `_PIECES` takes as it should take this one, by its code: for str.translate."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if not char.isascii():
            kinds = ((unicode_tables.LETTERS, "A"), (unicode_tables.NUMBERS, "0"))
            char = _ODD.get(char) or next((kind for table, kind in kinds if code in _ranges(table)), "\x80")
        self[code] = char
        return char


_plain, _kinds = _Plain(), _Kinds()
