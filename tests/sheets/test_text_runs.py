"""Lines as runs: which way they go, compared with python-bidi; how wide they are, compared with FreeType by Pillow."""

import unicodedata
from itertools import pairwise

import pytest
from bidi import get_display
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont, features

from latentpress.sheets.text.bidi import levels, right_to_left, visual_order
from latentpress.sheets.text.fonts import BUNDLED, Fonts, bundled, fonts_of
from latentpress.sheets.text.measure import Measure, advance
from latentpress.sheets.text.runs import plain, runs, visual

MIXED = st.text('abé 123.,-+%$()[]:/"  אבגד أسل١٢٣σЖ字\u064f\u0301', max_size=24)
LABELS = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")) | st.sampled_from("aß שׁ أب क्षि 絵 👩‍🚀 ≤"), max_size=30
)


@settings(max_examples=400, deadline=None)
@given(MIXED, st.booleans())
def test_the_visual_order_is_python_bidis(text, rtl):
    order = visual_order(levels(text, rtl=rtl))
    assert "".join(text[place] for place in order) == get_display(text, base_dir="R" if rtl else "L")


@pytest.mark.parametrize(
    ("text", "rtl"), [("style", False), ("أسلوب", True), ("3 أسلوب a", True), ("12 (a) ב", False), ("", False)]
)
def test_a_line_runs_as_its_first_letter_does(text, rtl):
    assert right_to_left(text) == rtl


@settings(max_examples=200, deadline=None)
@given(LABELS, st.booleans())
def test_runs_hold_every_character_once(text, bold):
    line = runs(text, fonts_of(), bold=bold)
    assert "".join(run.text for run in line) == text
    assert sorted(map(id, visual(line))) == sorted(map(id, line))
    for run, after in pairwise(line):
        assert (run.font, run.level) != (after.font, after.level)


def test_a_number_within_arabic_keeps_its_digits_order_and_stands_to_the_left():
    line = runs("أسلوب 12", fonts_of())
    assert visual(line)[0].text == "12"
    assert line[0].rtl


@pytest.mark.skipif(not features.check("raqm"), reason="this Pillow was built without raqm, our reference here")
@pytest.mark.parametrize("bold", [False, True])
@pytest.mark.parametrize("text", ["AVATAR To Wa", "Größe ½ – café", "Ёлка Ψυχή", "office ffi", "e\u0301\u0323", ""])
def test_a_width_is_that_of_freetype(text, bold):
    size = 1000
    path = BUNDLED / ("NotoSans-Bold.ttf" if bold else "NotoSans-Regular.ttf")
    font = ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.RAQM)
    ems = sum(advance(run) for run in runs(text, Fonts(bundled()), bold=bold))
    # FreeType rounds each of a thousand-pixel glyph's advances to a pixel.
    assert ems * size == pytest.approx(font.getlength(text), abs=0.6 * len(text) + 0.1)


def test_millimetres_follow_from_points():
    measure = Measure()
    assert measure.width("style", 14) == pytest.approx(2 * measure.width("style", 7))
    assert measure.width("mm", 72) == pytest.approx(25.4 * measure.width("mm", 1) * 72 / 25.4)
    assert measure.width("m", 10, bold=True) > measure.width("m", 10)
    assert 0 < measure.ascent(7) < measure.line_height(7) < 7 * 25.4 / 72 * 1.5


@settings(max_examples=100, deadline=None)
@given(LABELS)
def test_plain_text_does_not_depend_on_form_blanks_and_direction(text):
    assert plain(unicodedata.normalize("NFD", text) + " \u200f") == plain(text)
