"""The pack of a folder: what is in it by other programs, that it makes the same pixels elsewhere, and what it refuses."""

import csv
import hashlib
import itertools
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import typst
from PIL import Image

from fakes import FakeExecutor
from latentpress.batch.ledger.lock import locked
from latentpress.batch.place import LEDGER_VARIABLE
from latentpress.cli import run_cli
from latentpress.files import OWN_FOLDER
from latentpress.results.pack import Packed
from latentpress.results.pack_inputs import LeftOut
from published import read

BODY = """\
defaults: {{size: 64x64, steps: 2, init_image: {photo}, strength: 0.5}}
jobs:
  - {{from: {jobs}, seed: 1..3}}
  - {{id: bad, prompt: nan, seed: 4}}
output: "{{id}}/{{seed}}.png"
sheet: {{rows: id, columns: seed}}
"""


@pytest.fixture
def made(folder, tmp_path, monkeypatch):
    """made(photo, jobs) is such a folder: the picture beside the manifest, the jobs in a folder below."""
    monkeypatch.setenv("HOME", str(tmp_path / "home/somebody"))

    def make(photo="photo.png", jobs="lists/jobs.csv"):
        (tmp_path / "lists").mkdir(exist_ok=True)
        Image.new("RGB", (64, 64), "red").save(tmp_path / "photo.png")
        (tmp_path / "lists/jobs.csv").write_text('id,prompt,init_image\nowl,"an owl, ½",../photo.png\n')
        out = folder(BODY.format(photo=photo, jobs=jobs))
        out.render(executor=FakeExecutor())
        return out.path

    return make


def unpacked(archive, where):
    """The folder that `archive` has, unpacked there by a program of others."""
    where.mkdir()
    subprocess.run(["python3", "-m", "zipfile", "-e", str(archive), str(where)], check=True)
    [top] = where.iterdir()
    done = subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=top, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    files = {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}
    assert {line.rpartition(": ")[0] for line in done.stdout.splitlines()} == files - {"SHA256SUMS"}
    return top


def test_a_pack_has_all_and_its_sums_are_right(made, tmp_path, capsys):
    out = made()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert run_cli(["pack", str(out), "-o", "figure.zip", "--json"]) == 0
    said = read("pack", capsys.readouterr().out)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    top = unpacked(tmp_path / "figure.zip", tmp_path / "there")
    names = sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())
    inputs = ["manifest/lists/jobs.csv", "manifest/m.yaml", "manifest/photo.png"]
    pictures = [f"pictures/owl/{seed}.png" for seed in (1, 2, 3)]
    licences = ["licences/latentpress.txt", "licences/noto-sans.txt"]
    texts = ["README.md", "SHA256SUMS", "cells.csv", "plan.jsonl"]
    assert names == sorted([*inputs, *pictures, *licences, *texts, "sheets/sheet.png"])
    assert (said["files"], said["pictures"], said["total"], said["folder"]) == (len(names), 3, 4, top.name)
    for name in pictures:
        assert (top / name).read_bytes() == (out / name.removeprefix("pictures/")).read_bytes()
    with (top / "cells.csv").open(newline="", encoding="utf-8") as stream:
        rows = {row["file"]: row for row in csv.DictReader(stream)}
    plan = {line["output"]: line for line in map(json.loads, (top / "plan.jsonl").read_text().splitlines())}
    assert rows.keys() == plan.keys()
    assert (rows["bad/4.png"]["status"], rows["bad/4.png"]["reason"]) == ("failed", "the latents became NaN")
    for name in ("owl/1.png", "owl/2.png", "owl/3.png"):
        pixels = np.asarray(Image.open(out / name))
        assert rows[name]["pixel_sha256"] == hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        said = json.loads(Image.open(out / name).text["latentpress"])
        assert plan[name]["request"] == said["request"]
        assert plan[name]["job_hash"] == rows[name]["job_hash"] == said["job_hash"]
    text = (top / "README.md").read_text()
    for known in ("d" * 64, "latentpress render manifest/m.yaml -o again --engine fake", "1 planned pictures"):
        assert known in text


def test_the_same_folder_gives_the_same_bytes_and_nothing_is_written_over(made, tmp_path, capsys):
    out = made()
    assert run_cli(["pack", str(out), "-o", "a.zip"]) == 0
    assert run_cli(["pack", str(out), "-o", "b.zip"]) == 0
    first = (tmp_path / "a.zip").read_bytes()
    assert first == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = [info.filename for info in archive.infolist()]
        assert names[:-1] == sorted(names[:-1])
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {name.partition("/")[0] for name in names} == {"m"}
    capsys.readouterr()
    assert run_cli(["pack", str(out), "-o", "a.zip"]) == 2
    assert "exists already, and nothing is written over" in capsys.readouterr().err
    assert (tmp_path / "a.zip").read_bytes() == first


def test_no_path_of_this_machine_is_packed(made, tmp_path, capsys):
    """Whole paths in the manifest become paths of the pack, in its labels too; the rest of the text is as it was."""
    out = made(photo=tmp_path / "photo.png", jobs=tmp_path / "lists/jobs.csv")
    assert run_cli(["pack", str(out), "-o", "figure.zip"]) == 0
    assert "manifest/m.yaml: whole paths are written as they are seen from it" in capsys.readouterr().out
    top = unpacked(tmp_path / "figure.zip", tmp_path / "there")
    for path in top.rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes(), path
    head = "version: 1\nname: m\nmodel: demo\n"
    assert (top / "manifest/m.yaml").read_text() == head + BODY.format(photo="photo.png", jobs="lists/jobs.csv")


def test_inputs_from_elsewhere_get_a_place_or_are_refused(made, tmp_path, tmp_path_factory, capsys, monkeypatch):
    far = tmp_path_factory.mktemp("somebody")
    Image.new("RGB", (64, 64), "blue").save(far / "photo.png")
    out = made(photo=far / "photo.png")
    assert run_cli(["pack", str(out), "-o", "f.zip"]) == 0
    top = unpacked(tmp_path / "f.zip", tmp_path / "there")
    assert (top / "manifest/elsewhere/photo.png").read_bytes() == (far / "photo.png").read_bytes()
    assert "init_image: elsewhere/photo.png, " in (top / "manifest/m.yaml").read_text()
    out = made(photo=f"../{far.name}/photo.png")
    capsys.readouterr()
    assert run_cli(["pack", str(out), "-o", "g.zip"]) == 2, "the home lies below what both are in"
    assert "copy it into the manifest's folder, or name it with its whole path" in capsys.readouterr().err
    monkeypatch.setenv("HOME", "/home/nobody")
    assert run_cli(["pack", str(out), "-o", "g.zip"]) == 0
    assert (unpacked(tmp_path / "g.zip", tmp_path / "beside") / "manifest" / far.name / "photo.png").exists()


def test_packed_sources_of_sheets_find_their_pictures(folder, tmp_path):
    """Each path in them is that of a packed file, and both compile where they lie; the folder's own are as they were."""
    made = folder(
        "defaults: {prompt: 'a {style} kite', size: 64x64, steps: 2}\nmatrix: {style: [flat, line], seed: 1..2}\n"
        "output: '{style} ½/{seed}.png'\nsheet: {rows: style, columns: seed, formats: [tex, typ]}\n"
    )
    made.render(executor=FakeExecutor())
    before = [(made.path / name).read_text("utf-8") for name in ("sheet.tex", "sheet.typ")]
    assert run_cli(["pack", str(made.path), "-o", "figure.zip"]) == 0
    top = unpacked(tmp_path / "figure.zip", tmp_path / "there")
    tex, typ = [(top / "sheets" / name).read_text("utf-8") for name in ("sheet.tex", "sheet.typ")]
    folders = re.findall(r"\\edef\\latentpressfrom\{(?:\\CurrentFilePath/)?\\detokenize\{(.*)\}\}", tex)
    folders += re.findall("The pictures lie in (.*) as seen from", tex) + re.findall('#let pictures = "(.*)"', typ)
    assert len(folders) == 4
    files = re.findall(r"latentpressfrom/\\detokenize\{(.*?)\}", tex) + re.findall(r'picture\(.*?, "(.*?)",', typ)
    assert len(files) == 8
    for where, file in itertools.product(folders, files):
        assert (top / "sheets" / where / file).is_file()
    assert [tex, typ] == [text.replace("{.}", "{../pictures}").replace('= "."', '= "../pictures"').replace(
        "lie in .", "lie in ../pictures") for text in before]  # fmt: skip
    assert typst.compile(str(top / "sheets/sheet.typ"), root=str(top)).startswith(b"%PDF")
    if shutil.which("pdflatex"):
        head, paper = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{graphicx}", tmp_path / "paper"
        paper.mkdir()
        (paper / "a.tex").write_text(head + rf"\begin{{document}}\input{{{top}/sheets/sheet}}\end{{document}}")
        line = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
        done = subprocess.run(line, cwd=paper, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stdout[-1500:].decode(errors="replace")


def test_what_is_left_out_is_named(made, tmp_path, capsys):
    out = made()
    (out / "mine.png").write_bytes((out / "owl/1.png").read_bytes())
    assert run_cli(["pack", str(out), "-o", "f.zip", "--without", "*.png", "--json"]) == 0
    left = {one["name"]: one for one in json.loads(capsys.readouterr().out)["left_out"]}
    assert left.keys() == {"manifest/photo.png", "mine.png"}
    assert left["manifest/photo.png"]["sha256"] == hashlib.sha256((tmp_path / "photo.png").read_bytes()).hexdigest()
    top = unpacked(tmp_path / "f.zip", tmp_path / "there")
    assert not (top / "manifest/photo.png").exists()
    assert left["manifest/photo.png"]["sha256"] in (top / "README.md").read_text()
    assert run_cli(["pack", str(out), "-o", "g.zip", "--largest", "0"]) == 0
    assert "left out: manifest/lists/jobs.csv: it has 51 bytes, more than --largest allows" in capsys.readouterr().out


def test_what_is_said_is_one_line_each_and_a_command_that_a_shell_reads(tmp_path):
    top = "größe ½, it's a b"
    (tmp_path / top).mkdir()
    (tmp_path / top / "SHA256SUMS").write_text("")
    said = list(Packed(Path("f.zip"), top, 1, 1, 1, 1, (), [LeftOut("line\nbreak.png", "mine")]).lines())
    assert said[0] == "left out: line\\nbreak.png: mine"
    command = said[1].split("`")[1].replace("sha256sum -c", "cat")
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, check=False).returncode == 0


def test_a_folder_that_verify_does_not_pass_is_refused_with_the_reasons(made, tmp_path, capsys):
    out = made()
    (out / "owl/2.png").unlink()
    content = (out / "owl/3.png").read_bytes()
    (out / "owl/3.png").write_bytes(content[:-40])
    assert run_cli(["pack", str(out), "-o", "f.zip", "--json"]) == 1
    message = read("error", capsys.readouterr().out)["error"]["message"]
    for known in ("missing owl/2.png", "torn owl/3.png", "--repair"):
        assert known in message
    assert not (tmp_path / "f.zip").exists()


@pytest.mark.parametrize(
    ("before", "name", "code", "message"),
    [
        (lambda out: None, "f.tar", 2, "-o f.tar: the pack is a zip; give a name that ends in .zip"),
        (lambda out: None, "no/f.zip", 2, "there is no folder no; make it first"),
        (lambda out: shutil.rmtree(out / OWN_FOLDER), "f.zip", 2, "its ledger holds no plan"),
        (lambda out: (out.parent / "m.yaml").unlink(), "f.zip", 2, "its manifest is gone (../m.yaml, seen from there)"),
    ],
)
def test_what_cannot_be_packed_is_told_in_a_sentence(before, name, code, message, made, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv(LEDGER_VARIABLE, raising=False)
    out = made()
    before(out)
    held = sorted(tmp_path.rglob("*"))
    capsys.readouterr()
    assert run_cli(["pack", "out", "-o", name]) == code
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == held


def test_a_file_that_changed_is_named_and_not_the_manifest(folder, tmp_path, capsys):
    (tmp_path / "losses").mkdir()
    (tmp_path / "losses/mine.py").write_text("import helpers\n\ndef loss(image):\n    return helpers.of(image)\n")
    helpers = tmp_path / "losses/helpers.py"
    helpers.write_text("def of(image):\n    return image.mean()\n")
    out = folder(
        "losses: {mine: losses/mine.py}\ndefaults: {prompt: an owl, size: 64x64, steps: 2, loss: mine}\n"
        'matrix: {seed: 1..2}\noutput: "{seed}.png"\n'
    )
    out.render(executor=FakeExecutor())
    helpers.write_text("def of(image):\n    return image.std()\n")
    assert run_cli(["pack", "out", "-o", "f.zip"]) == 2
    ways_out = "render m.yaml again, which renders what differs, and pack then"
    assert capsys.readouterr().err == f"error: losses/helpers.py: not what it was when out was rendered; {ways_out}\n"
    (tmp_path / "m.yaml").write_text((tmp_path / "m.yaml").read_text().replace("1..2", "1..3"))
    assert run_cli(["pack", "out", "-o", "f.zip"]) == 2
    assert capsys.readouterr().err == f"error: m.yaml: is another manifest than when out was rendered; {ways_out}\n"


def test_drawn_seeds_are_in_the_plan_and_the_readme_says_what_makes_them_again(folder, tmp_path):
    out = folder('jobs: [{id: a, prompt: an owl, size: 64x64, seed: -1}]\noutput: "{id}.png"\n', draw=lambda: 4242)
    out.render(executor=FakeExecutor())
    assert run_cli(["pack", "out", "-o", "f.zip"]) == 0
    top = unpacked(tmp_path / "f.zip", tmp_path / "there")
    assert json.loads((top / "plan.jsonl").read_text())["request"]["seed"] == 4242
    assert "latentpress rerender pictures/FILE" in (top / "README.md").read_text()


def test_a_folder_that_is_rendered_into_is_refused(made, tmp_path, capsys):
    out = made()
    with locked(out):
        assert run_cli(["pack", str(out), "-o", "f.zip"]) == 75
    assert not list(tmp_path.glob("*.zip"))


def test_a_packed_manifest_makes_the_same_pixels_elsewhere(assets, tmp_path, monkeypatch, capsys):
    """The bundle, named by its whole path here, is put where the packed manifest looks for it there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.yaml").write_text(
        f"version: 1\nname: small\nmodel: {assets / 'bundle'}\nconcepts: {{<mine>: mine.bin}}\n"
        "defaults: {prompt: a house in the style of <mine>, steps: 1, size: 64x64, sampler: euler}\n"
        'matrix: {seed: 1..2}\noutput: "{seed}.png"\n'
    )
    import torch

    torch.save({"<mine>": torch.ones(64)}, tmp_path / "mine.bin")
    assert run_cli(["render", "m.yaml", "-o", "out", "--quiet"]) == 0
    assert run_cli(["pack", "out", "-o", "f.zip"]) == 0
    top = unpacked(tmp_path / "f.zip", tmp_path / "there")
    assert "model: bundles/bundle\n" in (top / "manifest/m.yaml").read_text()
    text = (top / "README.md").read_text()
    assert "the manifest looks for a bundle at `bundles/bundle`" in text
    with (tmp_path / "m.yaml").open("a") as manifest:
        manifest.write("# a note\n")
    assert run_cli(["pack", "out", "-o", "g.zip"]) == 0, "the plan is the same"
    (tmp_path / "m.yaml").write_text((tmp_path / "m.yaml").read_text().replace("steps: 1,", "steps: 2,"))
    assert run_cli(["pack", "out", "-o", "h.zip"]) == 2
    assert "m.yaml: is another manifest than when out was rendered; render m.yaml again" in capsys.readouterr().err
    (top / "manifest/bundles").mkdir()
    (top / "manifest/bundles/bundle").symlink_to(assets / "bundle")
    monkeypatch.chdir(top)
    shutil.move(tmp_path / "out", tmp_path / "gone")
    commands = [line.split()[1:] for line in text.splitlines() if line.startswith("    latentpress ")]
    assert [words[0] for words in commands] == ["render", "diff"]
    for words in commands:
        assert run_cli(words) == 0
    assert "2 equal" in capsys.readouterr().out
