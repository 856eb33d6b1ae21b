"""Sheets as LaTeX: compiled by pdflatex where it is there, and read back with poppler."""

import hashlib
import re
import shutil
import subprocess
from pathlib import PurePosixPath

import pytest

from labels import noise
from latentpress.sheets.cells import DONE, FAILED, WAITING, Cell, Cells
from latentpress.sheets.latex import latex_source
from latentpress.sheets.spec import Sheet
from latentpress.sheets.text.runs import plain

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


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed: Debian's texlive-latex-base")
@pytest.mark.skipif(not shutil.which("pdftotext"), reason="poppler is not installed: Debian's poppler-utils")
def test_latex_compiles_it_and_every_word_is_there(tmp_path):
    latex = latex_source(cells(tmp_path / "my out"), SHEET, pictures="my out")
    assert not latex.said
    (tmp_path / "figure.tex").write_text(latex.tex, encoding="utf-8")
    (tmp_path / "a.tex").write_text(DOCUMENT, encoding="utf-8")
    for _ in range(2):
        line = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stdout[-2000:].decode(errors="replace")
    log = (tmp_path / "a.log").read_text(errors="replace")
    assert "undefined" not in log
    read = plain(
        subprocess.run(["pdftotext", "a.pdf", "-"], cwd=tmp_path, capture_output=True, check=True).stdout.decode()
    )
    for words in (
        *STYLES,
        "failed: latents became NaN: 50%",
        "not rendered yet",
        "not in the matrix",
        "50% of 8_",
        "euler_a",
    ):
        # The bitmaps of TeX's smallest installation carry no Unicode: these read as their places in the encoding T1.
        assert plain(words.replace("ß", "ÿ").replace("–", "\x15").replace("fl", "\x1d")) in read, words
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
    found = [Cell({"style": style}, DONE, PurePosixPath("a.png"), 16, 16) for style in ("é", "絵")]
    (said,) = latex_source(Cells("k", "", ("style",), found), Sheet()).said
    assert said.startswith("pdfLaTeX cannot set text such as 絵; compile with XeLaTeX or LuaLaTeX")
