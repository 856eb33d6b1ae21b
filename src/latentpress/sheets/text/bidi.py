"""Which way the characters of a line run: the Unicode Bidirectional Algorithm (UAX #9) without explicit embeddings.

Labels hold words of both directions, numbers and brackets; the marks that nest one text in another are read as neutral.
"""

import unicodedata
from itertools import groupby

_BRACKETS = {"(": ")", "[": "]", "{": "}", "⟨": "⟩", "「": "」", "（": "）"}
_MARKS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN")


def right_to_left(text: str) -> bool:
    """Whether the first letter of `text` is of a script that is written from right to left (P2, P3)."""
    return next((kind != "L" for kind in map(unicodedata.bidirectional, text) if kind in ("L", "R", "AL")), False)


def levels(text: str, *, rtl: bool) -> list[int]:
    """The level of each character of one line: odd ones run from right to left. rtl: the direction of the whole line."""
    base = int(rtl)
    original = [unicodedata.bidirectional(char) or "L" for char in text]
    kinds = ["ON" if kind in _MARKS else kind for kind in original]
    _resolve_weak(kinds, "R" if rtl else "L")
    _resolve_brackets(text, kinds, "R" if rtl else "L")
    _resolve_neutral(kinds, "R" if rtl else "L")
    found = [_level(kind, base) for kind in kinds]
    for place in reversed(range(len(text))):  # L1: blanks at the end of a line
        if original[place] not in ("WS", *_MARKS):
            break
        found[place] = base
    return [base if kind in ("S", "B") else level for level, kind in zip(found, original, strict=True)]


def visual_order(row: list[int]) -> list[int]:
    """The places of `row`, a list of levels, from left to right (L2)."""
    order = list(range(len(row)))
    for level in range(max(row, default=0), 0, -1):
        place = 0
        for above, group in groupby([row[at] >= level for at in order]):
            length = len(list(group))
            if above:
                order[place : place + length] = reversed(order[place : place + length])
            place += length
    return order


def _resolve_weak(kinds: list[str], base: str) -> None:
    """W1 to W7: marks take their letter's kind, numbers the context's, separators that of the numbers around them."""
    before, strong = base, base
    for place, kind in enumerate(kinds):  # W1, W2, W3
        if kind == "NSM":
            kinds[place] = kind = before
        if kind == "EN" and strong == "AL":
            kinds[place] = "AN"
        if kind in ("L", "R", "AL"):
            strong = kind
        before = kind
    kinds[:] = ["R" if kind == "AL" else kind for kind in kinds]
    for place in range(1, len(kinds) - 1):  # W4
        around = kinds[place - 1], kinds[place + 1]
        if around in (("EN", "EN"), ("AN", "AN")) and (
            kinds[place] == "CS" or (kinds[place], around[0]) == ("ES", "EN")
        ):
            kinds[place] = around[0]
    for kind, first, last in _stretches(kinds):  # W5
        if kind == "ET" and ("EN" in kinds[max(0, first - 1) : first] or "EN" in kinds[last : last + 1]):
            kinds[first:last] = ["EN"] * (last - first)
    strong = base
    for place, kind in enumerate(kinds):  # W6, W7
        if kind in ("ES", "ET", "CS"):
            kinds[place] = "ON"
        elif kind == "EN" and strong == "L":
            kinds[place] = "L"
        elif kind in ("L", "R"):
            strong = kind


def _resolve_brackets(text: str, kinds: list[str], base: str) -> None:
    """N0: both brackets of a pair take the direction of what they enclose."""
    open_ones: list[tuple[str, int]] = []
    pairs: list[tuple[int, int]] = []
    for place, char in enumerate(text):
        if kinds[place] != "ON":
            continue
        if char in _BRACKETS:
            open_ones.append((_BRACKETS[char], place))
        elif matching := [at for at, (closing, _) in enumerate(open_ones) if closing == char]:
            pairs.append((open_ones[matching[-1]][1], place))
            del open_ones[matching[-1] :]
    for first, last in sorted(pairs):
        inside = {_direction(kind) for kind in kinds[first + 1 : last]} - {""}
        if not inside:
            continue
        before = next((found for kind in reversed(kinds[:first]) if (found := _direction(kind))), base)
        kinds[first] = kinds[last] = base if base in inside else before if before in inside else base
        for bracket in (first, last):  # marks upon it go with it
            place = bracket + 1
            while place < len(text) and unicodedata.bidirectional(text[place]) == "NSM":
                kinds[place] = kinds[bracket]
                place += 1


def _resolve_neutral(kinds: list[str], base: str) -> None:
    """N1, N2: what has no direction takes that of both its neighbours where they agree, the line's otherwise."""
    for kind, first, last in _stretches(["N" if not _direction(kind) else kind for kind in kinds]):
        if kind == "N":
            before = _direction(kinds[first - 1]) if first else base
            after = _direction(kinds[last]) if last < len(kinds) else base
            kinds[first:last] = [before if before == after else base] * (last - first)


def _stretches(kinds: list[str]) -> list[tuple[str, int, int]]:
    """Each kind with the first place that has it and the place behind the last."""
    found: list[tuple[str, int, int]] = []
    place = 0
    for kind, group in groupby(list(kinds)):
        length = len(list(group))
        found.append((kind, place, place + length))
        place += length
    return found


def _direction(kind: str) -> str:
    """L, R, or "" of what has none; numbers count as R here."""
    return "R" if kind in ("R", "EN", "AN") else "L" if kind == "L" else ""


def _level(kind: str, base: int) -> int:
    """I1, I2."""
    if base:
        return 1 if kind == "R" else 2
    return {"L": 0, "R": 1}.get(kind, 2)
