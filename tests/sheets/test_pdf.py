"""Sheets as PDF, read back with poppler: text, fonts, sizes of pictures, tags."""

import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import PurePosixPath

import pytest
from fontTools.ttLib import TTFont
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from labels import ARABIC, EMOJI, LEFT_TO_RIGHT, figure, lines_of, noise, page_of, text
from latentpress.cli.missing import missing_message
from latentpress.sheets.page import Page, Picture, Rect
from latentpress.sheets.pdf import pdf_document
from latentpress.sheets.png import raster
from latentpress.sheets.svg import svg_drawing
from latentpress.sheets.text.fonts import fonts_of
from latentpress.sheets.text.runs import plain
from latentpress.sheets.typ import About

ABOUT = About("Größe", "seeds and styles", ("plan abc",), "2026-11-27 22-05")
POPPLER = pytest.mark.skipif(not shutil.which("pdftotext"), reason="poppler is not installed: Debian's poppler-utils")
SCRIPTS = pytest.mark.skipif(
    bool(fonts_of().missing("語한कعج😀")),
    reason="fonts are not installed: Debian's fonts-noto-core, fonts-noto-cjk and fonts-noto-color-emoji",
)
PROPERTY = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def some(words):
    return st.lists(lines_of(words), min_size=6, max_size=20)


def said(tool, pdf, folder, *arguments):
    path = folder / "read.pdf"
    path.write_bytes(pdf)
    line = [tool, *arguments, str(path), *(["-"] if tool == "pdftotext" else [])]
    return subprocess.run(line, capture_output=True, check=True).stdout.decode(errors="replace")


@POPPLER
@SCRIPTS
@PROPERTY
@given(some(LEFT_TO_RIGHT))
def test_every_label_comes_back_from_the_pdf(tmp_path, labels):
    page = page_of(labels)
    document = pdf_document([page], tmp_path, ABOUT)
    assert not document.said
    read = plain(said("pdftotext", document.pdf, tmp_path))
    assert [label for label in labels if plain(label) not in read] == []
    check_fonts(document.pdf, tmp_path)


@POPPLER
@SCRIPTS
@PROPERTY
@given(some(LEFT_TO_RIGHT | EMOJI))
def test_labels_with_emoji_come_back_too_and_type_3_is_told(tmp_path, labels):
    """In the order of the page's content: poppler takes a coloured glyph for one of another size, and sets it apart else."""
    document = pdf_document([page_of(labels)], tmp_path, ABOUT)
    read = plain(said("pdftotext", document.pdf, tmp_path, "-raw"))
    assert [label for label in labels if plain(label) not in read] == []
    emoji = bool(re.search("[\u20e3\ufe0f\U0001f1e6-\U0001faff]", "".join(labels)))
    assert [line for line in document.said if "Type 3" in line] == list(document.said)
    assert bool(document.said) == emoji
    assert check_fonts(document.pdf, tmp_path) == emoji


@POPPLER
@SCRIPTS
@PROPERTY
@given(
    st.lists(lines_of(ARABIC), min_size=4, max_size=12),
    st.lists(st.lists(ARABIC, min_size=1, max_size=3), min_size=4, max_size=12),
    st.lists(lines_of(LEFT_TO_RIGHT | ARABIC), min_size=4, max_size=12),
)
def test_arabic_comes_back_whole_and_within_latin_and_word_by_word_where_directions_mix(
    tmp_path, arabic, within, mixed
):
    """Poppler takes most letters of a page for its direction, and puts pieces of the other one in an order of its own."""
    within = [f"a long style of {' '.join(words)} and what is left of it" for words in within]
    document = pdf_document([page_of(arabic), page_of(within), page_of(mixed)], tmp_path, ABOUT)
    assert not document.said
    pages = said("pdftotext", document.pdf, tmp_path).split("\f")
    assert [label for label in arabic if plain(label) not in plain(pages[0])] == []
    assert [label for label in within if plain(label) not in plain(pages[1])] == []
    words = {plain(word) for label in mixed for word in label.split() if word.isalnum()}
    read = plain(pages[2] + said("pdftotext", document.pdf, tmp_path, "-raw").split("\f")[2])
    assert {word for word in words if word not in read} == set()


@POPPLER
@SCRIPTS
@pytest.mark.parametrize("label", ["لا", "سلام", "بلاد الأمل", "إلى لآلئ الأدب"])
def test_lam_and_alef_are_two_letters_for_whoever_copies_them(tmp_path, label):
    """With one glyph for both, poppler and PDFium read them the other way round."""
    document = pdf_document([page_of([label])], tmp_path, ABOUT)
    assert plain(label) in plain(said("pdftotext", document.pdf, tmp_path))


@SCRIPTS
def test_no_mark_of_direction_that_nobody_wrote_is_copied(tmp_path):
    """Typst embeds a text whose direction is not its paragraph's between U+202B and U+202C, as the text of a blank."""
    pdf = pdf_document([page_of(["أسلوب مسطح 12 (a)", "a سلام c"])], tmp_path, ABOUT).pdf
    streams = [
        zlib.decompress(one) for one in re.findall(rb"FlateDecode.*?stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    ]
    assert any(b"/ReversedChars" in one for one in streams)
    assert not any(re.search(rb"202[A-E]", one) for one in streams if b"ActualText" in one or b"beginbfchar" in one)


def check_fonts(pdf, folder):
    """All fonts are embedded subsets with Unicode, of no kind but TrueType and CFF. Whether there is a Type 3 font."""
    rows = said("pdffonts", pdf, folder).splitlines()[2:]
    assert rows
    kinds = [re.search(r" (Type 3|CID TrueType|CID Type 0C) ", row) for row in rows]
    assert all(kinds), rows
    for row, kind in zip(rows, kinds, strict=True):
        embedded, subset, unicode = row.split()[-5:-2]
        assert (embedded, unicode) == ("yes", "yes"), row
        assert subset == "yes" or kind[1] == "Type 3", row
    return any(kind[1] == "Type 3" for kind in kinds)


@POPPLER
@SCRIPTS
def test_text_stands_where_the_layout_put_it(tmp_path):
    labels = ["Größe ½ – café", "絵文字 한국어", "أسلوب مسطح", "क्षि नमस्ते", "∑ ≤ ∞ 𝜎", "office AVATAR"]
    page = page_of(labels)
    boxes = said("pdftotext", pdf_document([page], tmp_path, ABOUT).pdf, tmp_path, "-bbox")
    words = [
        tuple(map(float, found))
        for found in re.findall(r'<word xMin="(.*?)" yMin="(.*?)" xMax="(.*?)" yMax="(.*?)"', boxes)
    ]
    assert len(words) == sum(len(label.split()) for label in labels)
    for label in page.texts:
        rect = label.rect
        left, top, right, bottom = (value / 25.4 * 72 for value in (rect.x, rect.y, rect.right, rect.bottom))
        mine = [word for word in words if top < (word[1] + word[3]) / 2 < bottom]
        # A tenth of a point: what the shapers of Typst and of HarfBuzz round differently over a line.
        assert min(word[0] for word in mine) == pytest.approx(left, abs=0.1)
        assert max(word[2] for word in mine) == pytest.approx(right, abs=0.1)


@POPPLER
def test_a_figure_says_what_it_is(tmp_path):
    pytest.importorskip("typst", reason="typst is not installed: pip install 'latentpress[figures]'")
    record = json.dumps({"plan": "abc", "cells": [{"output": "seeds/0.png"}]})
    document = pdf_document([figure(tmp_path)], tmp_path, ABOUT, record=record)
    assert not document.said
    info = said("pdfinfo", document.pdf, tmp_path, "-isodates")
    for line in ("Title: +Größe", "Subject: +seeds and styles", "Keywords: +plan abc", "Tagged: +yes"):
        assert re.search(line, info), line
    assert "2026-11-27T22:05:00" in info
    assert re.search(r"CreationDate: .*\n", info)
    for claim in (b"<pdfaid:part>3<", b"<pdfaid:conformance>B<", b"<pdfuaid:part>1<"):
        assert claim in document.pdf
    path = tmp_path / "a.pdf"
    path.write_bytes(document.pdf)
    subprocess.run(["pdfdetach", "-save", "1", "-o", str(tmp_path / "record.json"), str(path)], check=True)
    assert (tmp_path / "record.json").read_text() == record
    for number in range(3):
        assert f'/Alt(a red kite, seed {number}, style "flat")'.encode() in document.pdf
    structure = said("pdfinfo", document.pdf, tmp_path, "-struct")
    assert structure.count("Figure") == 3
    assert "H1" in structure


@pytest.mark.skipif(not shutil.which("qpdf"), reason="qpdf is not installed: Debian's package of that name")
def test_another_program_finds_no_error_of_syntax(tmp_path):
    """That the document keeps to PDF/A and PDF/UA is typst's word, which refuses what it sees break them."""
    pages = [figure(tmp_path), page_of(["سلام لا", "क्षि", "絵", "a\U0010fffe"])]
    (tmp_path / "a.pdf").write_bytes(pdf_document(pages, tmp_path, ABOUT, record="{}").pdf)
    done = subprocess.run(["qpdf", "--check", str(tmp_path / "a.pdf")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No syntax or stream encoding errors found" in done.stdout


def test_the_same_bytes_every_time_and_without_a_record_pdf_a_2b(tmp_path):
    pages = [figure(tmp_path), page_of(["a", "b"])]
    first = pdf_document(pages, tmp_path, ABOUT)
    os.environ["SOURCE_DATE_EPOCH"] = "1"
    try:
        assert pdf_document(pages, tmp_path, ABOUT) == first
    finally:
        del os.environ["SOURCE_DATE_EPOCH"]
    assert b"<pdfaid:part>2<" in first.pdf
    undated = pdf_document(pages, tmp_path, About("t"))
    assert not undated.said
    assert b"CreationDate" not in undated.pdf
    assert b"pdfaid" not in undated.pdf


@POPPLER
@pytest.mark.parametrize(("dpi", "dots"), [(None, 400), (300, 296), (150, 148), (600, 400)])
def test_pictures_have_no_more_dots_than_asked_for(tmp_path, dpi, dots):
    """25 mm are 295.3 dots at 300 an inch."""
    document = pdf_document([figure(tmp_path, pixels=400)], tmp_path, ABOUT, dpi=dpi)
    rows = [row.split() for row in said("pdfimages", document.pdf, tmp_path, "-list").splitlines()[2:]]
    assert [(row[3], row[4]) for row in rows] == [(str(dots), str(dots))] * 3
    coarse = [line for line in document.said if "dots an inch" in line]
    assert len(coarse) == (dpi == 600)
    if coarse:
        assert "3 of the pictures, of 400x400 pixels, print at 406 dots an inch where 600 are asked for" in coarse[0]


@POPPLER
def test_a_picture_keeps_its_pixels(tmp_path):
    cell = noise(tmp_path, 1, 64)
    page = Page(30, 30, (Picture(Rect(2, 2, 25, 25), cell),))
    (tmp_path / "a.pdf").write_bytes(pdf_document([page], tmp_path, ABOUT, dpi=300).pdf)
    subprocess.run(["pdfimages", "-png", str(tmp_path / "a.pdf"), str(tmp_path / "got")], check=True)
    with Image.open(tmp_path / "got-000.png") as got, Image.open(tmp_path / cell.output) as made:
        assert got.convert("RGB").tobytes() == made.tobytes()


def test_a_picture_that_cannot_be_read_is_marked_and_named(tmp_path):
    page = figure(tmp_path)
    (tmp_path / "seeds/1.png").write_bytes((tmp_path / "seeds/1.png").read_bytes()[:60])
    (tmp_path / "seeds/2.png").unlink()
    document = pdf_document([page], tmp_path, ABOUT)
    assert [line.split(":")[0] for line in document.said] == ["seeds/1.png", "seeds/2.png"]
    assert all("its place is marked" in line for line in document.said)


def test_what_no_font_has_is_named_and_shown_as_lost(tmp_path):
    document = pdf_document([page_of(["a\U0010fffeb c\ue000d"])], tmp_path, ABOUT)
    assert len(document.said) == 1
    assert document.said[0].startswith("no font here has ")
    assert "(U+10FFFE)" in document.said[0]
    assert "\ufffd" in document.typ


LOST = "a\U0010fffeb \ue000\ue001\ue002\ue003\ue004 d"


@POPPLER
def test_what_no_font_has_is_as_wide_as_it_was_measured(tmp_path):
    page = page_of([LOST])
    document = pdf_document([page], tmp_path, ABOUT)
    assert b"<pdfuaid:part>1<" in document.pdf
    right = [float(x) for x in re.findall(r'xMax="(.*?)"', said("pdftotext", document.pdf, tmp_path, "-bbox"))]
    [label] = page.texts
    assert max(right) == pytest.approx(label.rect.right / 25.4 * 72, abs=0.1)
    # Each of the seven is the replacement character of the bundled font, which is as wide as FontTools reads there.
    with TTFont(fonts_of().first.path) as font:
        wide = font["hmtx"][font.getBestCmap()[0xFFFD]][0] / font["head"].unitsPerEm
        narrow = sum(font["hmtx"][font.getBestCmap()[ord(char)]][0] for char in "ab  d") / font["head"].unitsPerEm
    assert label.rect.width == pytest.approx((6 * wide + narrow) * 7 / 72 * 25.4, abs=0.05)


def test_every_painter_paints_the_same_characters(tmp_path):
    """Marks that force a direction are left out, a tab is a blank, and what no font has is replaced, for all alike."""
    page = page_of([f"{LOST}\t\u202eabc\u202c \u2067x\u2069"])
    [line] = [line for text in page.texts for line in text.lines]
    assert line.text == "a\ufffdb \ufffd\ufffd\ufffd\ufffd\ufffd d abc x"
    assert f'"{line.text}"' in pdf_document([page], tmp_path, ABOUT).typ
    assert f">{line.text}<" in svg_drawing(page, tmp_path, ABOUT).svg
    pixels = raster(page, tmp_path, 96, fonts_of()).image
    assert pixels.tobytes() == raster(page_of([line.text]), tmp_path, 96, fonts_of()).image.tobytes()


@pytest.mark.parametrize("name", ['a"b\\c#d.png', "$x$ *y* _z_.png", "日本/größe.png"])
def test_nothing_in_a_name_or_a_label_is_taken_for_markup(tmp_path, name):
    cell = noise(tmp_path, 1, 16)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    shutil.copy(tmp_path / cell.output, tmp_path / name)
    odd = type(cell)(cell.labels, cell.state, PurePosixPath(name), 16, 16, alt=f'"{name}" \\ #panic("no")')
    page = Page(60, 60, (text('#panic() "x" \\u{41} $a$ // b', 2, 2), Picture(Rect(2, 20, 20, 20), odd)))
    document = pdf_document([page], tmp_path, About('t"\\#x', 'd"', ('k"',), "2026-01-01 00-00"))
    assert not document.said
    assert document.typ.count('#panic(\\"no\\")') == 1


def test_the_source_makes_the_same_pages(tmp_path):
    typst = pytest.importorskip("typst", reason="typst is not installed: pip install 'latentpress[figures]'")
    document = pdf_document([figure(tmp_path / "out")], tmp_path / "out", ABOUT, pictures="out")
    (tmp_path / "figure.typ").write_text(document.typ, encoding="utf-8")
    fonts = typst.Fonts(include_system_fonts=False, font_paths=[str(fonts_of().first.path.parent)])
    again = typst.compile(str(tmp_path / "figure.typ"), root=str(tmp_path), font_paths=fonts, timestamp=0)
    assert again.startswith(b"%PDF")
    assert again.count(b"/Subtype/Image") == document.pdf.count(b"/Subtype/Image")


def test_without_typst_the_way_to_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        pdf_document([page_of(["a"])], tmp_path, ABOUT)
    assert missing_message(caught.value) == "package typst is missing; pip install 'latentpress[figures]' adds it"
