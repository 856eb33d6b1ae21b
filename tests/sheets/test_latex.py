"""Sheets as LaTeX: compiled by pdflatex where it is there, and read back with poppler."""

import hashlib
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import PurePosixPath

import pytest
from PIL import Image

from labels import noise
from latentpress.sheets.cells import DONE, FAILED, WAITING, Cell, Cells
from latentpress.sheets.latex.figure import latex_source
from latentpress.sheets.options import made, parse_value
from latentpress.sheets.spec import Sheet
from sheet_cells import made_cells

LATEX = pytest.mark.skipif(
    not shutil.which("pdflatex"), reason="pdflatex is not installed: Debian's texlive-latex-base"
)
STYLES = ["Größe & – 100%", "plain_flat", "$x$ #1 {a} \\b", "~^<>|"]
DOCUMENT = (
    r"\documentclass[twocolumn]{article}\usepackage[T1]{fontenc}\usepackage{graphicx}"
    r"\begin{document}\input{figure}See \ref{fig:kites-1} and \ref{tab:kites}.\end{document}"
)


def cells(folder):
    found = []
    for loss in ("none", "canny"):
        for seed in range(2):
            for style in STYLES:
                labels = {"loss": loss, "style": style, "seed": str(seed), "steps": "20", "sampler": "euler_a"}
                digest = hashlib.sha256(repr(labels).encode()).hexdigest()
                made = noise(folder, len(found), 16)
                state = {3: FAILED, 5: WAITING}.get(len(found), DONE)
                reason = "latents became NaN: 50%" if state == FAILED else ""
                alt = f"a kite, {style}, [seed] {seed}"
                found.append(Cell(labels, state, made.output, 16, 16, "a kite", "", seed, digest, "", 1, reason, alt))
    del found[9]
    return Cells("kites", "ab" * 32, ("loss", "style", "seed"), found, "2026-11-27 22-05")


SHEET = Sheet(
    rows=("seed",), columns=("style",), pages=("loss",), name="kites", width=183, caption="50% of {pictures}_"
)


def compiled(folder):
    """Compile a.tex; its log, in which nothing is too wide or too high."""
    line = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    done = subprocess.run(line, cwd=folder, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:].decode(errors="replace")
    log = (folder / "a.log").read_text(errors="replace")
    assert [line for line in log.splitlines() if line.startswith("Overfull") or "too large" in line] == []
    return log


WHY = "the latents are not finite from step 7 on in /home/somebody/bundles/unfindable_configuration_file.safetensors"
AWKWARD = {
    "styles": (
        {"style": ["an averylongunbreakablelabelthatis/not_nice", "e\u0301tude λ≤2"], "seed": list("12345")},
        (9, 9),
    ),
    "tall": ({"style": [*map(str, range(40))], "seed": list("12")}, (9, 9)),
    "upright": ({"guidance_scale": ["2", "7"], "style": list("ab"), "seed": list("12")}, (9, 90)),
    "wide": ({"style": list("ab"), "seed": [*(f"sampler_{n}" for n in range(60))]}, (9, 9)),
    "panels": ({"style": list("ab"), "seed": list("12"), "loss": list("123456")}, (90, 9)),
}


@LATEX
@pytest.mark.parametrize("width", ["nature column", "nature double"])
def test_nothing_is_wider_or_higher_than_its_place(tmp_path, width):
    """Five sheets in one document, read from a folder of their own; pictures beside that."""
    (tmp_path / "figures/out").mkdir(parents=True)
    inputs = ""
    for name, (axes, size) in AWKWARD.items():
        found = made_cells(
            axes,
            lambda labels: (FAILED, WHY) if labels["seed"][-1:] == "2" else (DONE, ""),
            lambda labels: labels["style"] in ("b", "7"),
            lambda labels, size=size: size,
        )
        for cell in found.cells:
            Image.new("L", size).save(tmp_path / "figures/out" / cell.output)
        asked = {"rows": ("style",), "columns": ("seed",), "name": name, "width": parse_value("width", width)}
        latex = latex_source(found, made(asked), pictures="out")
        assert not latex.said
        (tmp_path / f"figures/{name}.tex").write_text(latex.tex, encoding="utf-8")
        inputs += rf"\input{{figures/{name}}}\clearpage "
    (tmp_path / "a.tex").write_text(DOCUMENT.partition(r"\input")[0] + inputs + r"\end{document}", encoding="utf-8")
    compiled(tmp_path)
    boxes = subprocess.run(["pdftotext", "-bbox", "a.pdf", "-"], cwd=tmp_path, capture_output=True, check=True).stdout
    words = re.findall(rb'xMin="(.*?)" yMin="(.*?)" xMax="(.*?)" yMax="(.*?)"', boxes)
    assert len(words) > 500
    assert all(float(left) > 60 and float(right) < 612 - 60 and float(low) < 730 for left, _, right, low in words)


def test_a_hash_and_dashes_stay_letter_by_letter(tmp_path):
    """TeX joins f, f and i to one sign that copies as such, and two hyphens to a dash."""
    found = made_cells({"style": ["ab1ffe", "office", "a--b", ",,x"]})
    tex = latex_source(found, Sheet(caption="{plan}")).tex
    assert "ab1f\\/fe" in tex
    assert "office" in tex
    assert "a-\\/-b" in tex
    assert ",\\/,x" in tex
    assert "\\texttt{efefefefefef}" in tex


def test_title_caption_and_counts_are_sentences(tmp_path):
    found = made_cells({"style": ["a", "b"]}, lambda labels: (DONE if labels["style"] == "a" else WAITING, ""))
    tex = latex_source(found, Sheet(title="Things of {name}", caption="{prompt}", columns=("style",))).tex
    assert "\\caption{Things of lab. a red kite. 1 not rendered yet.}" in tex


def test_a_name_that_tex_cannot_read_has_a_mark(tmp_path):
    found = made_cells({"style": ["a", "b"]})
    odd = replace(found.cells[0], output=PurePosixPath("1%.png"))
    tex = latex_source(replace(found, cells=[odd, found.cells[1]]), Sheet(columns=("style",))).tex
    assert "1%.png" not in tex.partition("\\begin{figure")[2]
    assert "file name that LaTeX cannot read" in tex


def test_the_settings_are_in_one_order_and_what_says_little_stands_in_the_caption(tmp_path):
    def of(labels):
        return Cell({"id": "x", **labels}, DONE, PurePosixPath(f"{len(labels)}.png"), 16, 16, "a kite", seed=4)

    common = {"eta": "0", "loss": "none", "priority": "0", "strength": "1", "model": "demo", "note": "w" * 50}
    found = [of({**common, "style": style, "steps": "20"}) for style in ("flat", "toy")]
    rows = latex_source(Cells("k", "ff" * 32, ("style",), found), Sheet()).tex.partition("\\begin{table}")[2]
    assert re.findall(r"^    (?:\\raggedright )?([a-z ]+?) & ", rows, re.MULTILINE) == [
        *("model", "prompt", "steps", "seed", "size", "style", "note", "plan"),
    ]
    assert "\\caption{Settings of the pictures. Besides: eta 0.}" in rows
    assert "flat, toy" in rows


@LATEX
@pytest.mark.skipif(not shutil.which("pdftotext"), reason="poppler is not installed: Debian's poppler-utils")
def test_latex_compiles_it_and_every_word_is_there(tmp_path):
    latex = latex_source(cells(tmp_path / "my out"), SHEET, pictures="my out")
    assert not latex.said
    (tmp_path / "figure.tex").write_text(latex.tex, encoding="utf-8")
    (tmp_path / "a.tex").write_text(DOCUMENT, encoding="utf-8")
    compiled(tmp_path)
    log = compiled(tmp_path)
    assert "undefined" not in log
    read = subprocess.run(["pdftotext", "a.pdf", "-"], cwd=tmp_path, capture_output=True, check=True).stdout.decode()
    read = "".join(read.split(" ")).replace("\n", "")
    for words in (
        *STYLES,
        "failed: latents became NaN: 50%",
        "not rendered yet",
        "not in the matrix",
        "50% of 8_",
        "euler_a",
    ):
        # The bitmaps of TeX's smallest installation carry no Unicode: these read as their places in the encoding T1.
        assert "".join(words.replace("ß", "ÿ").replace("–", "\x15").split()) in read, words
    images = subprocess.run(["pdfimages", "-list", "a.pdf"], cwd=tmp_path, capture_output=True, check=True).stdout
    assert len(images.splitlines()) - 2 == 13


def test_the_source_is_balanced_and_the_same_every_time(tmp_path):
    found = cells(tmp_path)
    tex = latex_source(found, SHEET).tex
    assert latex_source(found, SHEET).tex == tex
    body = re.sub(r"%.*", "", re.sub(r"\\.", "", tex))
    depth = [0]
    for char in body:
        depth.append(depth[-1] + (char == "{") - (char == "}"))
    assert min(depth) == depth[-1] == 0
    opened = re.findall(r"\\begin\{([a-z]+\*?)\}", tex)
    assert sorted(opened) == sorted(re.findall(r"\\end\{([a-z]+\*?)\}", tex))
    assert tex.count("\\includegraphics[") == 13


def test_a_name_that_latex_cannot_read_is_told(tmp_path):
    found = cells(tmp_path)
    odd = Cell({"style": "a"}, DONE, PurePosixPath("a#%.png"), 16, 16)
    said = latex_source(Cells("k", "", ("style",), [odd]), Sheet()).said
    assert said == ("LaTeX cannot read a picture whose name has one of \\ { } # %, such as a#%.png; rename it",)
    assert latex_source(found, SHEET).said == ()


def test_text_that_asks_for_another_latex_is_told(tmp_path):
    read = "語 is only read out loud, or the name of a file"
    found = [
        Cell({"style": style}, DONE, PurePosixPath("語.png"), 16, 16, alt=read) for style in ("e\u0301", "絵", "Ḝ")
    ]
    (said,) = latex_source(Cells("k", "", ("style",), found), Sheet()).said
    assert said.startswith("pdfLaTeX cannot set 絵 (U+7D75), Ḝ (U+1E1C); compile with XeLaTeX or LuaLaTeX")
