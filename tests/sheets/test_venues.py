"""The widths that sheets know by a venue's name."""

import re
from pathlib import Path

import pytest

from latentpress.sheets.spec import VENUES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sheets.md").read_text()


def test_the_docs_have_the_numbers_of_every_venue():
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \| ([\d.]+) \| (\d+) to (\d+) \|", PAGE, re.MULTILINE)
    found = {}
    for name, widths, height, low, high in rows:
        sizes = {}
        for names, width in re.findall(r"((?:`\w+`(?: and )?)+) ([\d.]+)", widths):
            sizes |= dict.fromkeys(re.findall(r"`(\w+)`", names), float(width))
        found[name] = sizes, float(height), (float(low), float(high))
    assert found == {name: (dict(venue.widths), venue.height, venue.points) for name, venue in VENUES.items()}


@pytest.mark.parametrize(("name", "paper"), [("a4", (210, 297)), ("a0", (841, 1189))])
def test_posters_fit_the_paper_of_iso_216(name, paper):
    """An A0 is a square metre, its sides in the ratio of 1 to the root of 2, rounded down to a millimetre."""
    assert paper[1] == pytest.approx(paper[0] * 2**0.5, abs=1)
    assert (VENUES[name].widths["double"] + 40, VENUES[name].height + 40) == paper
