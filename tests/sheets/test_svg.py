"""Sheets as SVG: text that is there as text, and stands where resvg and Chromium draw it; pictures held or linked to."""

import base64
import io
import json
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest
import resvg_py
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from labels import figure, lines_of, noise, page_of
from latentpress.sheets.page import Page, Picture, Rect
from latentpress.sheets.svg import svg_drawing
from latentpress.sheets.text.fonts import bundled, fonts_of
from latentpress.sheets.typ import About

ABOUT = About("Größe", "seeds and styles")
SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return ["".join(element.itertext()) for element in ET.fromstring(svg).iter(f"{SVG}text")]


@settings(max_examples=40, deadline=None)
@given(st.lists(lines_of(st.text(min_size=1)), min_size=1, max_size=6))
def test_every_line_is_there_as_text(tmp_path_factory, labels):
    page = page_of(labels)
    lines = [line.text for text in page.texts for line in text.lines if line.text.strip()]
    svg = svg_drawing(page, tmp_path_factory.getbasetemp(), ABOUT).svg
    assert texts(svg) == lines


def ink(image):
    """Left, top, right, bottom of what is not white, in mm at 96 dots an inch times four."""
    found = ImageChops.invert(image.convert("RGB").convert("L")).point(lambda value: 255 * (value > 60)).getbbox()
    return tuple(value / 4 / 96 * 25.4 for value in found)


@pytest.mark.parametrize("label", ["HOHOH Hamburg", "Größe ½ – café", "∑≤∞", "Ёлка Ψυχή"])
def test_text_stands_where_the_layout_put_it(tmp_path, label):
    page = page_of([label], width=60)
    files = [str(font.path) for font in bundled()]
    svg = svg_drawing(page, tmp_path, ABOUT).svg
    how = {"dpi": 96, "zoom": 4, "background": "#ffffff", "skip_system_fonts": True, "font_files": files}
    drawn = resvg_py.svg_to_bytes(svg_string=svg, **how)
    left, top, right, bottom = ink(Image.open(io.BytesIO(bytes(drawn))))
    rect = next(iter(page.texts)).rect
    # Bearings at both ends of a line of 7 points are less than half a millimetre.
    assert rect.x - 0.1 <= left <= rect.x + 0.5
    assert rect.right - 0.5 <= right <= rect.right + 0.1
    assert rect.y <= top < bottom <= rect.bottom


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed: Debian's package of that name")
@pytest.mark.skipif(bool(fonts_of().missing("أ")), reason="a font of Arabic is not installed: Debian's fonts-noto-core")
def test_a_line_of_two_directions_begins_at_its_visual_left(tmp_path):
    page = page_of(["أسلوب مسطح 12 (a)"], width=60)
    (tmp_path / "a.svg").write_text(svg_drawing(page, tmp_path, ABOUT).svg, encoding="utf-8")
    line = [
        *(
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--force-device-scale-factor=4",
        ),
        *(f"--user-data-dir={tmp_path / 'profile'}", "--window-size=240,200", f"--screenshot={tmp_path / 'a.png'}"),
    ]
    subprocess.run([*line, str(tmp_path / "a.svg")], check=True, capture_output=True, timeout=120)
    left, _, right, _ = ink(Image.open(tmp_path / "a.png"))
    rect = next(iter(page.texts)).rect
    assert left == pytest.approx(rect.x, abs=0.5)
    assert right == pytest.approx(rect.right, abs=0.6)


def test_a_figure_says_what_it_is(tmp_path):
    record = json.dumps({"plan": "<abc> & more"})
    drawing = svg_drawing(figure(tmp_path), tmp_path, ABOUT, record=record)
    assert not drawing.said
    root = ET.fromstring(drawing.svg)
    assert root.find(f"{SVG}title").text == "Größe"
    assert root.find(f"{SVG}metadata").text == record
    assert root.get("width").endswith("mm")
    assert [image.find(f"{SVG}title").text for image in root.iter(f"{SVG}image")] == [
        f'a red kite, seed {number}, style "flat"' for number in range(3)
    ]
    turned = [text for text in root.iter(f"{SVG}text") if text.get("transform")]
    assert ["".join(text.itertext()) for text in turned] == ["style"]
    assert svg_drawing(figure(tmp_path), tmp_path, ABOUT, record=record) == drawing


@pytest.mark.parametrize(("dpi", "dots"), [(None, 400), (300, 296), (600, 400)])
def test_held_pictures_have_no_more_dots_than_asked_for(tmp_path, dpi, dots):
    drawing = svg_drawing(figure(tmp_path, count=1, pixels=400), tmp_path, ABOUT, dpi=dpi)
    link = next(ET.fromstring(drawing.svg).iter(f"{SVG}image")).get("href")
    held = base64.b64decode(link.removeprefix("data:image/png;base64,"), validate=True)
    assert Image.open(io.BytesIO(held)).size == (dots, dots)
    if dots == 400:
        assert held == (tmp_path / "seeds/0.png").read_bytes()
    assert not drawing.said


def test_pictures_may_be_linked_to(tmp_path):
    cell = noise(tmp_path / "out", 1, 16)
    odd = "seeds/größe #1 %.png"
    shutil.copy(tmp_path / "out" / cell.output, tmp_path / "out" / odd)
    page = Page(
        30, 30, (Picture(Rect(2, 2, 25, 25), type(cell)(cell.labels, cell.state, type(cell.output)(odd), 16, 16)),)
    )
    svg = svg_drawing(page, tmp_path / "out", ABOUT, pictures="../out").svg
    assert next(ET.fromstring(svg).iter(f"{SVG}image")).get("href") == "../out/seeds/gr%C3%B6%C3%9Fe%20%231%20%25.png"


def test_a_picture_that_cannot_be_read_is_marked_and_named(tmp_path):
    page = figure(tmp_path)
    (tmp_path / "seeds/1.png").write_bytes(b"no picture")
    drawing = svg_drawing(page, tmp_path, ABOUT)
    assert [line.split(":")[0] for line in drawing.said] == ["seeds/1.png"]
    assert len(list(ET.fromstring(drawing.svg).iter(f"{SVG}image"))) == 2
