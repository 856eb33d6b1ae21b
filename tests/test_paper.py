"""examples/paper: its manifest can be planned, and its one command makes a paper, a poster and a supplement."""

import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from latentpress.cli import run_cli

PAPER = Path(__file__).resolve().parents[1] / "examples" / "paper"
MM = 72 / 25.4


@pytest.fixture
def manifest(assets, tmp_path, monkeypatch):
    """The example's manifest for the tests' own bundle, with concepts of its width; the built-in model takes a minute."""
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    text = (PAPER / "paper.yaml").read_text()
    (tmp_path / "concepts").mkdir()
    for token, file in re.findall(r"^ +(<[\w-]+>): \.\./(concepts/\S+)", text, re.MULTILINE):
        assert (PAPER.parent / file).exists()
        if (assets / file).exists():
            shutil.copy(assets / file, file)
        else:
            torch.save({token: torch.ones(64)}, file)
    (tmp_path / "paper").mkdir()
    path = tmp_path / "paper/paper.yaml"
    path.write_text(text.replace("model: demo", f"model: {assets / 'bundle'}"))
    return path


def test_the_manifest_can_be_planned(manifest, capsys):
    assert run_cli(["plan", str(manifest)]) == 0
    assert "0 of 100 images done, 100 missing" in capsys.readouterr().out


def told(program, *words):
    """What a program of poppler prints."""
    if not shutil.which(program):
        pytest.skip(f"there is no {program} here, which Debian's package poppler-utils has")
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, check=True).stdout


def test_one_command_builds_the_paper(manifest, tmp_path):
    """With one step, and with six seeds of three styles, all of which the figure has."""
    text = manifest.read_text().replace("steps: 20", "steps: 1").replace("seed: 1..10", "seed: 1..6")
    text = text.replace("dpmpp_2m_karras", "euler").replace("guidance_scale: 5", "guidance_scale: 1")
    text = re.sub(r"^    - (3d|noto|blob|<line-art>|<pop-art>|<fx-emoji>|<sepia>)\n", "", text, flags=re.MULTILINE)
    manifest.write_text(text.replace(', "<sepia>"]', "]").replace("noto, ", ""))
    command = [sys.executable, PAPER / "build.py", "-o", "out", "--manifest", manifest]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "\nPages:           2\n" in told("pdfinfo", "out.pdf")
    said = told("pdftotext", "out.pdf", "-")
    for known in ("One subject in ten styles", "18 of 18 pictures", "a rocket in the style of black outline on white"):
        assert known in " ".join(said.split())
    page = told("pdftotext", "-f", "2", "out.pdf", "-")
    assert {"flat", "outline", "<blueprint>"} <= set(page.split()), "the figure's labels are text in the paper"
    rows = [line.split() for line in told("pdffonts", "out.pdf").splitlines()[2:]]
    assert rows
    assert all("no" not in row[-5:-4] and "Type 3" not in " ".join(row) for row in rows)
    width, height = re.search(r"Page size: +([\d.]+) x ([\d.]+) pts", told("pdfinfo", "out/poster.pdf")).groups()
    assert float(width) == pytest.approx(801 * MM, abs=1)
    assert float(height) <= 1149 * MM + 1
    with zipfile.ZipFile("out-supplement.zip") as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
    assert {"manifest/paper/paper.yaml", "manifest/concepts/blueprint.bin", "sheets/poster.pdf"} <= names
    built = runpy.run_path(str(PAPER / "build.py"))
    built["set_paper"](tmp_path / "out", Path("again.pdf"))
    assert Path("again.pdf").read_bytes() == Path("out.pdf").read_bytes()
