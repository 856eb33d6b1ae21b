"""Text as LaTeX sets it letter by letter, and which of it pdfLaTeX cannot set. Knows no sheet."""

import unicodedata
from collections.abc import Mapping

import regex

from latentpress.errors import one_line
from latentpress.sheets.text.shown import visible

_ESCAPED: Mapping[str, str] = {char: f"\\{char}" for char in "{}$&#_%"} | {
    "\\": "\\textbackslash{}",
    "^": "\\textasciicircum{}",
    "~": "\\textasciitilde{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    '"': "\\textquotedbl{}",
    "`": "\\textasciigrave{}",
    "'": "\\textquotesingle{}",
}
# Signs of mathematics that no text font of LaTeX has, as its mathematics has them.
_SIGNS = {
    "≤": "leq", "≥": "geq", "≠": "neq", "≈": "approx", "≡": "equiv", "∼": "sim", "∝": "propto", "−": "-", "∞": "infty",
    "∑": "sum", "∏": "prod", "∫": "int", "√": "surd", "∂": "partial", "∇": "nabla", "∈": "in", "∉": "notin", "∅": "emptyset",
    "∩": "cap", "∪": "cup", "⊂": "subset", "⊃": "supset", "∀": "forall", "∃": "exists", "⇒": "Rightarrow", "⇐": "Leftarrow",
    "⇔": "Leftrightarrow", "↔": "leftrightarrow", "⋯": "cdots", "…": "ldots", "∘": "circ", "⊗": "otimes", "⊕": "oplus",
    "∕": "/",
}  # fmt: skip
_GREEK = {letter: unicodedata.name(letter) for letter in "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ"}
_ALONE = regex.compile(rf"(?<!\p{{L}}\p{{M}}*)[{''.join(_GREEK)}](?![\p{{L}}\p{{M}}])")
# What T1 and TS1 make other signs of, wherever it stands.
_JOINED = regex.compile(r"(?<=-)(?=-)|(?<=,)(?=,)")
# In a word with digits, such as a hash, letters stay apart.
_LIGATURE = regex.compile(r"f(?=[fil])")
# Words longer than that, in a narrow place and in a wide one, may break at their joints, and where nothing else helps
# anywhere: \\lpbreak is defined where it is used.
LONG_WORD, OVERLONG_WORD = 8, 24
_AT_JOINT, _WITHIN = "\\allowbreak ", "\\lpbreak "
# Beyond ASCII, what pdfLaTeX sets with the encodings T1 and TS1: base's t1enc.dfu, ts1enc.dfu, ot1enc.dfu and omsenc.dfu.
_SET = (
    "a0-125 128-137 139-13e 141-148 14a-165 168-17e 192 1cd-1d4 1e2-1e3 1e6-1eb 1f0 1f4-1f5 218-21b 232-233 237 2c7 "
    "2d8-2d9 2db 2dd e3f 1e02-1e03 1e0d 1e1e-1e21 1e25 1e30-1e31 1e37 1e43 1e45 1e47 1e5b 1e63 1e6d 1e8e-1e91 1e9e "
    "1ef2-1ef3 200c 2010-2016 2018-201a 201c-201e 2020-2022 2030-2031 2039-203b 203d 2044 204e 2052 20a1 20a4 20a6 20a9 "
    "20ab-20ac 20b1 2103 2116-2117 211e 2120 2122 2126-2127 212e 2190-2193 2329-232a 2422-2423 25e6 25ef 266a 27e8-27e9 "
    "fb00-fb06"
)
_RANGES = [tuple(int(end, 16) for end in (part.split("-") * 2)[:2]) for part in _SET.split()]
_LISTED = 12


def escaped(text: str) -> str:
    """`text` as LaTeX sets it letter by letter, in one paragraph; letters and their accents are composed."""
    words = unicodedata.normalize("NFC", visible(" ".join(text.split()))).split()
    return " ".join(map(_word, words))


def breakable(text: str, most: int = LONG_WORD) -> str:
    """The same, which may break within words of more than `most` letters too, where a line has no room for them."""
    return " ".join(_broken(word, most) for word in visible(" ".join(text.split())).split())


def hashed(text: str) -> str:
    """A hash, whose letters stand apart."""
    return f"\\texttt{{{_word(text)}}}"


def unset(tex: str) -> list[str]:
    """The characters of `tex` that pdfLaTeX cannot set, each once, in order."""
    return [char for char in dict.fromkeys(tex) if not char.isascii() and not _has(ord(char))]


def named(chars: list[str]) -> str:
    """Characters to be read in a message, some of many."""
    said = ", ".join(f"{one_line(char)} (U+{ord(char):04X})" for char in chars[:_LISTED])
    return said + (f" and {len(chars) - _LISTED} more" if len(chars) > _LISTED else "")


def ems(text: str) -> float:
    """About how wide `text` is set, in em."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return 0.55 * (len(text) - wide) + wide


def _has(code: int) -> bool:
    return any(low <= code <= high for low, high in _RANGES)


def _word(word: str) -> str:
    pieces = [_joined(part) for part in _JOINED.split(word)]
    return "\\/".join(pieces)


def _joined(word: str) -> str:
    word = _ALONE.sub(lambda match: f"\0{match[0]}\0", word)
    found = "".join(
        _letter(char, alone=number % 2 == 1) for number, part in enumerate(word.split("\0")) for char in part
    )
    return _LIGATURE.sub(r"f\\/", found) if any(char.isdigit() for char in word) and "\\" not in found else found


def _letter(char: str, *, alone: bool) -> str:
    if alone:
        name = _GREEK[char].rsplit(maxsplit=1)[-1].lower().replace("lamda", "lambda")
        return f"\\ensuremath{{\\{name.title() if char.isupper() else name}}}"
    if sign := _SIGNS.get(char):
        return f"\\ensuremath{{{sign if len(sign) == 1 else f'{chr(92)}{sign}'}}}"
    return _ESCAPED.get(char, char)


def _broken(word: str, most: int) -> str:
    word = unicodedata.normalize("NFC", word)
    if len(word) <= most:
        return _word(word)
    letters = [_word(cluster) for cluster in regex.findall(r"\X", word)]
    return (
        "".join(letter + (_AT_JOINT if letter[-1] in "-/_.,;:=" else _WITHIN) for letter in letters[:-1]) + letters[-1]
    )
