"""Which labels tell the pictures of a plan apart, beside the axes of its matrix. Knows cells and the names of fields."""

from collections.abc import Sequence

from latentpress.manifest.fields import FIELDS
from latentpress.manifest.wordings import VARIANT
from latentpress.sheets.cells import Cell


def axes_of(matrix: Sequence[str], cells: Sequence[Cell]) -> tuple[str, ...]:
    """The axes of the `matrix`, and behind them the other labels in which cells differ: names of braces, then fields.

    All words chosen come before the names of some, where other braces have none: they tell apart what names do not.
    """
    found: dict[str, set[str]] = {}
    for cell in cells:
        for key, text in cell.labels.items():
            found.setdefault(key, set()).add(text)
    varied = [key for key, texts in found.items() if len(texts) > 1]
    named = [key for key in varied if key not in FIELDS and key not in ("id", VARIANT)]
    words = [VARIANT] if VARIANT in varied else []
    braces = [*named, *words] if _follows(VARIANT, named, cells) else [*words, *named]
    return tuple(dict.fromkeys([*matrix, *braces, *varied]))


def _follows(key: str, keys: Sequence[str], cells: Sequence[Cell]) -> bool:
    """Whether what cells have for `keys` says what they have for `key`."""
    found: dict[tuple[str, ...], str] = {}
    texts = ((tuple(cell.labels.get(one, "") for one in keys), cell.labels.get(key, "")) for cell in cells)
    return all(found.setdefault(others, text) == text for others, text in texts)
