"""The plot of `latentpress measure`: that it says the numbers, in every script, twice the same; and what it refuses."""

import io
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fakes import facts, folder, made, manifest
from latentpress.batch.measured import measure_folder
from latentpress.cli import run_cli
from latentpress.measures.plot import plot_of
from latentpress.measures.plot_file import plot_bytes
from latentpress.sheets.text.fonts import fonts_of

__all__ = ["facts", "folder", "made", "manifest"]

STYLES = ["Größe ½", "$x^2$", "絵文字", "nan"]
BODY = (
    f"defaults: {{prompt: 'a {{style}} kite'}}\nmatrix:\n  style: {STYLES}\n  seed: 1..3\noutput: '{{hash:.9}}.png'\n"
)
SVG = "{http://www.w3.org/2000/svg}"


def test_a_plot_has_the_numbers_of_each_picture(made):
    found = measure_folder(made, against=["seed=2"])
    plot = plot_of(found)
    assert (plot.axes, list(plot.labels)) == ("style", STYLES)
    panels = {panel.title: panel.rows for panel in plot.panels}
    luma = [one.values["luma"] for one in found.numbers[:3]]
    assert panels["luma (0 to 1)"] == [luma, luma, luma, []]
    assert [len(row) for row in panels["PSNR (dB)"]] == [2, 2, 2, 0]
    assert [len(row) for row in panels["pixels apart across seed"]] == [1, 1, 1, 0]
    assert "pixels apart across style" not in panels
    assert plot_of(measure_folder(made, by=["seed"])).labels == ["1", "2", "3"]


def test_an_svg_has_live_text_and_a_dot_for_each_picture_and_is_twice_the_same(made, tmp_path, capsys):
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    assert run_cli(["measure", str(made), "--plot", str(first), "--plot", str(second)]) == 0
    assert capsys.readouterr().out.endswith(f"\n{first}\n{second}\n")
    assert first.read_bytes() == second.read_bytes()
    root = ElementTree.fromstring(first.read_bytes())
    texts = ["".join(one.itertext()).strip() for one in root.iter(f"{SVG}text")]
    for label in [*STYLES, "style", "colourfulness", "structure apart across seed", "m: 9 of 12 pictures measured"]:
        assert label in texts, label
    # Six panels of nine pictures, and two of a group for each of three styles.
    dots = [one for one in root.iter(f"{SVG}use") if "stroke-opacity" in one.get("style", "") or one.get("x")]
    marks = [one for one in dots if "#4477aa" in one.get("style", "")]
    assert len(marks) == 6 * 9 + 2 * 3


def test_png_and_pdf(made):
    whole = plot_of(measure_folder(made))
    plot = replace(whole, panels=whole.panels[1:2])
    content, said = plot_bytes(plot, "png")
    assert not said
    with Image.open(io.BytesIO(content)) as image:
        # A dot's colour, of which 55% lie on white.
        blended = 0.55 * np.array([0x44, 0x77, 0xAA]) + 0.45 * 255
        dots = (np.abs(np.asarray(image.convert("RGB")) - blended) < 3).all(-1)
    assert 9 * 5 < dots.sum() < 9 * 60
    content, _ = plot_bytes(plot, "pdf")
    assert content.startswith(b"%PDF")
    assert b"/FontFile" in content
    assert b"Type3" not in content
    assert content == plot_bytes(plot, "pdf")[0]


def test_characters_that_no_font_has_are_named(made):
    plot = replace(
        plot_of(measure_folder(made)), title="\U000f1234 \x00", panels=plot_of(measure_folder(made)).panels[:1]
    )
    assert plot_bytes(plot, "png")[1] == [
        "warning: no font that a plot can be set in has \U000f1234 (U+F1234); each is shown as \ufffd"
    ]
    content, said = plot_bytes(plot, "svg")
    assert len(said) == 1
    assert "\ufffd \\x00" in "".join(ElementTree.fromstring(content).itertext())


@pytest.mark.skipif(bool(fonts_of().missing("👨‍👩‍👧")), reason="Debian's fonts-noto-color-emoji is not installed")
def test_emoji_are_drawn_without_their_colours_or_named_and_an_svg_leaves_them_to_its_reader(made):
    """matplotlib reads no font of coloured bitmaps; DejaVu Sans, which comes with it, has the smile and no family."""
    whole = plot_of(measure_folder(made))
    plot = replace(whole, labels=["😀", "👨‍👩‍👧", "b", "c"], panels=whole.panels[1:2])
    for kind in ("png", "pdf"):
        [line] = plot_bytes(plot, kind)[1]
        assert line.startswith("warning: no font that a plot can be set in has 👨‍👩‍👧 (U+1F468)")
    content, said = plot_bytes(plot, "svg")
    assert not said
    family, *_ = [one for one in ElementTree.fromstring(content).iter(f"{SVG}text") if one.text == "👨‍👩‍👧"]
    assert "'Noto Color Emoji'" in family.get("style")


def test_what_a_plot_refuses(made, tmp_path, monkeypatch, capsys):
    taken = tmp_path / "taken.svg"
    taken.write_text("mine")

    def refused(*options, code=2):
        assert run_cli(["measure", str(made), *options]) == code
        [line] = capsys.readouterr().err.splitlines()
        return line

    assert "--plot names one file twice; give each its own" in refused("--plot", "x.svg", "--plot", "x.svg")
    assert "--plot x.gif: a plot is SVG, PNG or PDF; give a name that ends in" in refused("--plot", "x.gif")
    assert f"--plot {taken}: exists already; give another name" in refused("--plot", str(taken))
    assert "--plot no/x.svg: there is no folder no; make it first" in refused("--plot", "no/x.svg")
    for path in made.glob("*.png"):
        path.unlink()
    assert "no picture could be measured, so there is nothing to plot" in refused("--plot", "x.svg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = refused("--plot", "x.svg", code=3)
    assert said == "error: package matplotlib is missing; pip install 'latentpress[bench]' adds it"
    assert taken.read_text() == "mine"
    assert not list(tmp_path.glob("**/x.*"))
