"""Which values a VALUE of `--only KEY=VALUE` means: one rule for pictures of a plan, cells of a sheet and what is measured.

Knows texts as names and sheets show them, and no field. Pure.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from fnmatch import translate

from latentpress.safe_names import safe

# What a value is shown as that is not given.
NONE = "none"
_NULLS = ("null", "Null", "NULL", "~")
_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,3})?")
_SPAN = re.compile(rf"\s*({_NUMBER.pattern})\s*(?:\.\.\s*({_NUMBER.pattern})\s*)?")
_SIZE = re.compile(r"\s*([0-9]{1,6})(?:\s*[xX×]\s*([0-9]{1,6}))?\s*")

Fits = Callable[[str], bool]


def meant(texts: Mapping[str, Collection[str]], value: str) -> set[str]:
    """Those of `texts` that `value` means; each is a text as it is shown, with the others by which it is known."""
    for fits in readings(value):
        found = {text for text, others in texts.items() if fits(text) or any(map(fits, others))}
        if found:
            return found
    return set()


def readings(value: str) -> Sequence[Fits]:
    """The ways in which `value` may mean a text, of which the first one counts that any text fits.

    It may be the text, as it is or as file names have it; a pattern of either; then what a manifest may say as well: null,
    which is shown as none; a number written otherwise, a range of numbers or a list of both; a size.
    """
    spans, size = _spans(value), _size(value)
    found: list[Fits] = [lambda text: value in (text, _safe(text))]
    # [1, 5] is a list and no pattern of one character, as [15] is.
    if not (spans and value.startswith("[") and ("," in value or ".." in value)):
        fits = like(value)
        found.append(lambda text: fits(text) or fits(_safe(text)))
    if value in _NULLS:
        found.append(NONE.__eq__)
    if spans:
        found.append(lambda text: _within(text, spans))
    if size:
        found.append(size.__eq__)
    return found


def like(pattern: str) -> Fits:
    """Whether a text is `pattern`, or matches it as names of files do."""
    match = re.compile(translate(pattern)).match
    return lambda text: text == pattern or match(text) is not None


def _safe(text: str) -> str:
    return text if text.isalnum() else safe(text)


def _spans(value: str) -> list[tuple[Decimal, Decimal]]:
    """The numbers, ranges, or list of these that `value` is, both ends included; nothing where it is something else."""
    inner = value[1:-1].split(",") if value.startswith("[") and value.endswith("]") else [value]
    found = [_SPAN.fullmatch(part) for part in inner]
    return [(Decimal(one[1]), Decimal(one[2] or one[1])) for one in found if one] if all(found) else []


def _within(text: str, spans: Sequence[tuple[Decimal, Decimal]]) -> bool:
    if not _NUMBER.fullmatch(text):
        return False
    number = Decimal(text)
    return any(low <= number <= high for low, high in spans)


def _size(value: str) -> str:
    """A size as it is shown, "" where `value` is none; one side alone is both."""
    found = _SIZE.fullmatch(value)
    return f"{int(found[1])}x{int(found[2] or found[1])}" if found else ""
