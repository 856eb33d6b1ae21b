"""What a VALUE of `--only KEY=VALUE` means, for pictures of a plan, cells of a sheet and what is measured alike."""

from pathlib import PurePosixPath

import pytest

from latentpress.choosing import meant
from latentpress.sheets.cells import DONE, Cell, Cells
from latentpress.sheets.grid import select
from latentpress.sheets.spec import Sheet

# Texts as they are shown, a value, and those that it means.
TABLE = [
    ("<line-art> line-art2 owl", "line-art", "<line-art>"),
    ("<line-art> line-art2 owl", "line*", "<line-art> line-art2"),
    ("<line-art> line-art2 owl", "<line-art>", "<line-art>"),
    ("7 07 8", "07", "07"),
    ("7 8", "007", "7"),
    ("7.5 7 75", "7.50", "7.5"),
    ("7.5 7 75", "75e-1", "7.5"),
    ("1 2 3 10 owl", "1..3", "1 2 3"),
    ("1 2 3 10", "1..9", "1 2 3"),
    ("1 2 3 10", "[1, 3..10]", "1 3 10"),
    ("1 2 3 10", "[12]", "1 2"),
    ("1..3 2", "1..3", "1..3"),
    ("2 18446744073709551615 18446744073709551614", "18446744073709551615.0", "18446744073709551615"),
    ("512x512 512x768", "512", "512x512"),
    ("512x512 512x768", "0512 × 768", "512x768"),
    ("none blurry", "null", "none"),
    ("none null", "null", "null"),
    ("1 2", "", ""),
    ("1 2", "3..1", ""),
    ("a b", "[", ""),
    ("1e3 a", "1000", "1e3"),
]


@pytest.mark.parametrize(("texts", "value", "expected"), TABLE)
def test_a_value_means_what_is_called_so_or_what_a_manifest_would_mean_by_it(texts, value, expected):
    assert meant(dict.fromkeys(texts.split(), ()), value) == set(expected.split())


def test_what_a_sheet_shows_is_chosen_by_the_same_rule():
    made = [Cell({"style": f"<s{n}>", "seed": str(n)}, DONE, PurePosixPath(f"{n}.png"), 8, 8) for n in (1, 2, 3)]
    cells = Cells("m", "", ("style", "seed"), made)
    for terms, seeds in ((["style=s1"], "1"), (["style=s*", "seed=02..3"], "23"), (["[12].png"], "12")):
        assert "".join(cell.labels["seed"] for cell in select(cells, Sheet(only=tuple(terms)))) == seeds
