"""Plots as pages of a sheet's PDF, read back: the words by poppler, the numbers by where the dots lie between the ticks."""

import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from fakes import FakeExecutor, facts, folder, made, manifest
from latentpress.batch.measured import measure_folder
from latentpress.cli import run_cli
from latentpress.errors import ManifestError
from latentpress.measures.plot import Panel, Plot, plot_of
from latentpress.measures.plot_plates import plot_plates
from latentpress.sheets.page import COLUMN, MM_PER_PT, PANEL, ROW
from latentpress.sheets.text.fonts import fonts_of
from latentpress.sheets.text.measure import Measure

__all__ = ["facts", "folder", "made", "manifest"]

STYLES = ["Größe ½", "$x^2$ ∑", "絵文字 😀", "नमस्ते", "nan"]
BODY = (
    f"defaults: {{prompt: 'a {{style}} kite'}}\nmatrix:\n  style: {STYLES}\n  seed: 1..3\noutput: '{{hash:.9}}.png'\n"
)
SVG = "{http://www.w3.org/2000/svg}"
POPPLER = pytest.mark.skipif(not shutil.which("pdftotext"), reason="poppler is not installed: Debian's poppler-utils")
SCRIPTS = pytest.mark.skipif(bool(fonts_of().missing("語क😀")), reason="Debian's fonts-noto packages are not installed")


def run(tool, *arguments):
    return subprocess.run([tool, *map(str, arguments)], capture_output=True, check=True, text=True).stdout


@POPPLER
@SCRIPTS
def test_a_pdf_has_the_plots_behind_the_sheet_with_every_word(made, tmp_path, capsys):
    path = tmp_path / "figure.pdf"
    options = ["--width", "nature column", "--plots", "--against", "seed=2", "-o", str(path)]
    assert run_cli(["sheet", str(made), *options]) == 0
    said = capsys.readouterr().err
    assert "keeps to no standard" not in said
    assert "Type 3 fonts, which some publishers refuse: 😀" in said
    info = run("pdfinfo", path)
    assert re.search("Tagged: +yes", info)
    assert "<pdfaid:part>3</pdfaid:part>" in run("pdfinfo", "-meta", path)
    sizes = re.findall(r"Page +\d+ size: +([\d.]+) x ([\d.]+)", run("pdfinfo", "-l", "99", path))
    assert len(sizes) > 2
    assert {round(float(wide) * MM_PER_PT) for wide, _ in sizes} == {89}
    assert all(float(high) * MM_PER_PT <= 170 for _, high in sizes)
    plots = run("pdftotext", "-raw", "-f", 2, path, "-")
    for word in [*STYLES, "style", "PSNR (dB)", "colourfulness", "structure apart across seed", "against seed=2"]:
        assert word in plots, word


@POPPLER
def test_a_manifests_sheet_has_the_plots_that_the_command_draws(folder, tmp_path, monkeypatch, capsys):
    asked = "{formats: [pdf, png], width: nature column, plots: true, plots_by: seed, plots_against: %s}"
    made = folder(f"{BODY}sheet: {asked % 'seed=2'}\n")
    made.render(executor=FakeExecutor())
    options = ["--width", "nature column", "--plots", "--by", "seed", "--against", "seed=2"]
    assert run_cli(["sheet", str(made.path), *options, "-o", str(tmp_path / "own.pdf")]) == 0
    texts = [run("pdftotext", "-raw", "-f", 2, path, "-") for path in (made.path / "sheet.pdf", tmp_path / "own.pdf")]
    assert texts[0] == texts[1]
    assert "against seed=2" in texts[0]
    assert run_cli(["sheet", str(made.path), "-o", str(tmp_path / "own.png")]) == 0, "a picture has no plots"
    capsys.readouterr()
    wrong = folder(f"{BODY}sheet: {asked.replace('by: seed', 'by: steps') % 'seed=2'}\n", "wrong")
    with pytest.raises(ManifestError, match="sheet sheet: plots_by 'steps': all pictures have the same"):
        wrong.render(executor=FakeExecutor())
    assert not list(wrong.path.glob("*.png")), "it is said before anything is rendered"


def test_dots_lie_where_the_numbers_are_between_the_ticks():
    rows = [[0.25, 0.5], [], [0.75], [1.0, 0.0, 0.3]]
    plot = Plot("m", "style", ["a", "b", "c", "d"], [Panel("luma", rows)])
    [plate] = plates = plot_plates(plot, 89, 170, 7, Measure())
    assert plates == plot_plates(plot, 89, 170, 7, Measure()), "the same numbers give the same bytes"
    ticks = {
        float(text.whole.replace("−", "-")): text.rect.x + text.rect.width / 2
        for text in plate.page.texts
        if text.role == COLUMN
    }
    (low, left), (high, right) = min(ticks.items()), max(ticks.items())
    levels = {text.whole: text.rect.y + text.rect.height / 2 for text in plate.page.texts if text.role == ROW}
    dots = [one for one in ElementTree.fromstring(plate.svg).iter(f"{SVG}use") if "#4477aa" in one.get("style", "")]
    found = []
    for dot in dots:
        x, y = float(dot.get("x")) * MM_PER_PT, float(dot.get("y")) * MM_PER_PT
        row = min(levels, key=lambda label: abs(levels[label] - y))
        found.append((row, low + (x - left) / (right - left) * (high - low)))
    expected = [(label, value) for label, row in zip("abcd", rows, strict=True) for value in row]
    assert [label for label, _ in found] == [label for label, _ in expected]
    assert np.allclose([value for _, value in found], [value for _, value in expected], atol=0.005)
    assert not list(ElementTree.fromstring(plate.svg).iter(f"{SVG}text")), "the sheet sets the words"


def test_what_does_not_fit_a_page_goes_to_another_and_keeps_its_scale():
    numbers = list(np.linspace(0, 1, 30))
    labels = [f"value {number}" for number in range(30)]
    plot = Plot("m", "style", labels, [Panel(name, [[number] for number in numbers]) for name in ("luma", "contrast")])
    plates = plot_plates(plot, 89, 170, 7, Measure())
    assert all(plate.page.height <= 170 for plate in plates)
    shown = {}
    for plate in plates:
        [panel] = [text.whole for text in plate.page.texts if text.role == PANEL]
        shown.setdefault(panel, []).extend(text.whole for text in plate.page.texts if text.role == ROW)
    assert shown == {"luma": labels, "contrast": labels}
    ticks = [{text.whole for text in plate.page.texts if text.role == COLUMN} for plate in plates]
    assert all(one == ticks[0] for one in ticks)


def test_long_words_end_in_an_ellipsis_and_nothing_leaves_the_page():
    labels = ["a" * 300, "凧" * 300, "b"]
    plot = Plot("title " * 60, "style", labels, [Panel(f"panel {n} " * 30, [[1, 2], [3], [4]]) for n in range(2)])
    width = 57
    for plate in plot_plates(plot, width, 170, 7, Measure()):
        for text in plate.page.texts:
            assert text.rect.x >= -0.1, text.whole
            assert text.rect.right <= width + 0.1, text.whole
        rows = {text.whole[0]: text.whole[-1] for text in plate.page.texts if text.role == ROW}
        assert rows == {"a": "…", "凧": "…", "b": "b"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--plots", "--width", "20mm", "-o", "x.pdf"],
            "plots: a page of 20 by 257 mm has no room for a plot with text",
        ),
        (["--plots", "-o", "x.png"], "--plots adds pages to a PDF; name one, e.g. -o figure.pdf, or draw plots alone"),
        (["--plots"], "--plots adds pages to a PDF; name one"),
        (["--by", "style", "-o", "x.pdf"], "--by is of the plots; add --plots"),
        (["--against", "seed=1", "-o", "x.pdf"], "--against is of the plots; add --plots"),
        (
            ["--plots", "--by", "stile", "-o", "x.pdf"],
            "'stile' is no axis and no field of these pictures; did you mean",
        ),
        (
            ["--plots", "--only", "style=nan", "-o", "x.pdf"],
            "no picture could be measured, so there is nothing to plot",
        ),
    ],
)
def test_what_is_refused(options, message, made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_cli(["sheet", str(made), *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("x.*"))


def test_of_a_first_axis_with_too_many_values_another_makes_the_rows(folder, monkeypatch):
    monkeypatch.setattr("latentpress.measures.plot._MOST_ROWS", 3)
    made = folder("defaults: {prompt: 'kite {seed}'}\nmatrix: {seed: 1..4}\noutput: '{seed}.png'\n")
    made.render(executor=FakeExecutor())
    assert plot_of(measure_folder(made.path)).labels == ["all"]
