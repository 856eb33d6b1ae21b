"""`latentpress sheet`: from the folder alone, into files of every kind, while pictures are missing, and what it refuses."""

import csv
import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest
from PIL import Image

from fakes import FakeExecutor, facts, folder, manifest
from latentpress.batch import sheets
from latentpress.batch.cells import folder_cells
from latentpress.batch.folder import OutputFolder
from latentpress.batch.ledger.lock import locked
from latentpress.cli import run_cli
from latentpress.errors import ManifestError

__all__ = ["facts", "folder", "manifest"]

BODY = (
    'defaults: {prompt: "a {style} kite"}\nmatrix:\n  style: [Größe ½, nan, 絵文字]\n  seed: 1..3\n'
    'output: "{style}-{seed}.png"\nsheets:\n- {name: by-seed, rows: seed, columns: style, formats: [png, csv]}\n'
    "- {name: pages, columns: seed, pages: style, width: nature column}\n"
)


@pytest.fixture
def made(folder, tmp_path):
    """A folder of nine pictures, three of which failed, whose manifest and bundle are gone."""
    made = folder(BODY)
    outcome = made.render(executor=FakeExecutor())
    assert [path.name for path in outcome.sheets] == [
        "by-seed.png",
        "by-seed.csv",
        *(f"pages-page-{n}.png" for n in (1, 2, 3)),
    ]
    (tmp_path / "m.yaml").rename(tmp_path / "gone.yaml")
    return made.path


def test_the_folder_alone_gives_its_sheets_again(made, capsys):
    before = {path.name: path.read_bytes() for path in made.glob("*.png")}
    for name in before:
        if name.startswith(("by-seed", "pages")):
            (made / name).unlink()
    assert run_cli(["sheet", str(made)]) == 0
    assert capsys.readouterr().out.split()[:2] == [f"{made}/by-seed.png", f"{made}/by-seed.csv"]
    assert {path.name: path.read_bytes() for path in made.glob("*.png")} == before


def test_a_sheet_is_drawn_again_only_where_something_changed(made, capsys, monkeypatch):
    """Of the render's sheets none, until a picture is another; then all that show it."""
    drawn = []
    real = sheets.drawn

    def draw(cells, sheet, folder, plates=()):
        drawn.append(sheet.name)
        return real(cells, sheet, folder, plates=plates)

    monkeypatch.setattr(sheets, "drawn", draw)
    before = {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}
    names = ["by-seed.png", "by-seed.csv", *(f"pages-page-{n}.png" for n in (1, 2, 3))]
    assert run_cli(["sheet", str(made)]) == 0
    told = capsys.readouterr()
    assert told.out.split() == [f"{made}/{name}" for name in names]
    assert f"unchanged, and not drawn again: {', '.join(names)}\n" in told.err
    assert str(made) not in told.err, "a terminal shows each file once"
    assert "dots an inch" in told.err
    assert drawn == []
    assert {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()} == before

    (made / "pages-page-2.png").unlink()
    assert run_cli(["sheet", str(made)]) == 0
    assert drawn == ["pages"]
    assert (made / "pages-page-2.png").read_bytes() == before["pages-page-2.png"]

    Image.new("RGB", (64, 64), "red").save(made / "絵文字-2.png")
    assert run_cli(["sheet", str(made)]) == 0
    assert drawn == ["pages", "by-seed", "pages"]
    assert (made / "by-seed.png").read_bytes() != before["by-seed.png"]
    assert "file is not what was rendered" in (made / "by-seed.csv").read_text()
    capsys.readouterr()
    assert run_cli(["sheet", str(made)]) == 0
    assert len(drawn) == 3
    assert capsys.readouterr().err.count("unchanged") == 1
    (made / "pages-page-2.png").unlink()
    assert run_cli(["sheet", str(made), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert {Path(one["file"]).name: one["unchanged"] for one in files} == {
        name: name.startswith("by-seed") for name in names
    }


def test_a_figure_of_a_copy_in_every_kind(made, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    kinds = ("png", "tiff", "webp", "pdf", "typ", "svg", "tex", "csv", "jsonl", "parquet")
    files = [tmp_path / f"figure.{kind}" for kind in kinds]
    (copy / "絵文字-2.png").unlink()
    before = sorted((path, path.stat().st_mtime_ns) for path in copy.rglob("*"))
    options = ["--rows", "style", "--columns", "seed", "--width", "nature column", "--caption", "{done} of {pictures}"]
    options += ["--title", "Kites, {name}"]
    assert run_cli(["sheet", str(copy), *options, *(f"-o{path}" for path in files)]) == 0
    assert capsys.readouterr().out.split() == list(map(str, files))
    assert sorted((path, path.stat().st_mtime_ns) for path in copy.rglob("*")) == before, "nothing of the copy changed"
    assert files[3].read_bytes().startswith(b"%PDF")
    with Image.open(files[0]) as png:
        assert [round(dots) for dots in png.info["dpi"]] == [300, 300]
        assert png.width == round(89 / 25.4 * 300)
        said = json.loads(png.text["latentpress-sheet"])
    for path in files[1:3]:
        with Image.open(path) as image:
            assert image.size == (png.width, png.height)
            assert json.loads(image.getexif()[305])["plan_hash"] == said["plan_hash"]
    assert "絵文字" in files[5].read_text(encoding="utf-8")
    assert "<title>Kites, m</title>" in files[5].read_text(encoding="utf-8")
    assert 'document(title: "Kites, m"' in files[4].read_text(encoding="utf-8")
    assert "\\includegraphics" in files[6].read_text(encoding="utf-8")
    with files[7].open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    lines = [json.loads(line) for line in files[8].read_text().splitlines()]
    table = pq.read_table(files[9]).to_pylist()
    assert len(rows) == len(lines) == len(table) == 9
    assert [row["style"] for row in rows[::3]] == ["Größe ½", "nan", "絵文字"]
    assert [{key: "" if value is None else str(value) for key, value in line.items()} for line in lines] == rows
    for row, line in zip(rows, lines, strict=True):  # no picture was made in no time
        assert (row["seconds"] == "") == (line["seconds"] is None) == (line["status"] == "missing"), line
    assert table == lines
    assert {row["reason"] for row in rows if row["status"] == "failed"} == {"the latents became NaN"}
    assert {row["pixel_sha256"] for row in rows if row["status"] == "done"} == {
        cell["pixel_sha256"] for cell in said["cells"].values() if cell["state"] == "done"
    }


def test_a_figure_may_be_drawn_while_a_render_goes_on(made, tmp_path, capsys):
    with locked(made):
        assert run_cli(["sheet", str(made), "-o", str(tmp_path / "now.png"), "--only", "style=絵文字"]) == 0
        assert run_cli(["sheet", str(made)]) == 75
    with Image.open(tmp_path / "now.png") as image:
        assert len(json.loads(image.text["latentpress-sheet"])["cells"]) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--rows", "stile", "-o", "x.png"],
            "'stile' is no axis and no field of these pictures; did you mean 'style'?",
        ),
        (["--rows", "nosuch", "-o", "x.png"], "; name an axis (style, seed, prompt) or a field, one of 'id', "),
        (["--rows", "style"], "--rows is of a figure; name its file, e.g. -o figure.pdf"),
        (["--width", "nature wide", "-o", "x.png"], "--width 'nature wide': must be one of `nature column` (89 mm)"),
        (["--dpi", "7", "-o", "x.png"], "--dpi '7': must be from 30 to 2400 dots per inch"),
        (["--rows", "style,seed", "--columns", "seed", "-o", "x.png"], "'seed' stands on rows and columns"),
        (["--order", "style", "-o", "x.png"], "--order 'style': write AXIS=VALUE,VALUE"),
        (["--name", "x", "-o", "x.png"], "no sheet is called that; the manifest has by-seed, pages"),
        (["-o", "taken.png"], "-o taken.png: exists already; give another name, or --replace"),
        (["-o", "no/x.png"], "-o no/x.png: there is no folder no; make it first"),
        (["-o", "x.gif"], "-o x.gif: is no file of a figure"),
        (["--font", "No Such Sans", "-o", "x.png"], "font 'No Such Sans' is not installed here"),
        (["--caption", "{nothing}", "-o", "x.png"], "has {nothing}; it may have {name}"),
    ],
)
def test_wrong_options_are_refused_and_nothing_is_written(options, message, made, tmp_path, capsys):
    (tmp_path / "taken.png").write_bytes(b"mine")
    before = sorted(tmp_path.rglob("*"))
    assert run_cli(["sheet", str(made), *options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "taken.png").read_bytes() == b"mine"


def test_pages_that_a_sheet_has_no_more_go(folder, tmp_path):
    folder(BODY).render(executor=FakeExecutor())
    made = folder(BODY.replace(", pages: style, ", ", rows: style, "))
    assert [path.name for path in made.render(executor=FakeExecutor()).sheets[2:]] == ["pages.png"]
    assert [path.name for path in made.path.glob("pages*")] == ["pages.png"]


def test_pages_without_a_title_are_called_as_the_manifest_is(made, tmp_path):
    assert run_cli(["sheet", str(made), "--rows", "style", "--pages", "seed", "-o", str(tmp_path / "f.svg")]) == 0
    pages = list(tmp_path.glob("f*.svg"))
    assert len(pages) > 1
    name = folder_cells(made).cells.name
    assert {ElementTree.parse(page).getroot()[0].text for page in pages} == {name}


def test_a_figure_of_a_manifest_is_not_drawn_from_anothers_plan(folder, tmp_path, capsys):
    made = folder(BODY)
    made.render(executor=FakeExecutor())
    first, second, table = tmp_path / "m.yaml", tmp_path / "b.yaml", tmp_path / "s.csv"
    second.write_text(first.read_text().partition("sheets:")[0].replace("seed: 1..3", "seed: [4]"))
    OutputFolder(second, made.path, models=made._models).render(executor=FakeExecutor())
    line = ["-o", str(made.path), "-o", str(table)]
    assert run_cli(["sheet", str(first), *line]) == 2
    assert "this manifest was not the last that was rendered there; render it first" in capsys.readouterr().err
    assert not table.exists()
    assert run_cli(["sheet", str(second), *line]) == 0
    assert len(table.read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("only: [style=cat]", "only 'style=cat' chooses no cell"),
        ("order: {style: [nan, cat]}", "the order of style names 'cat', which no cell has"),
        ("plots: true, formats: [pdf], plots_against: [seed=9]", "plots_against 'seed=9': no picture has that seed"),
        ("plots: true, formats: [pdf], plots_by: [steps]", "plots_by 'steps': all pictures have the same; name one of"),
        ("only: [seed=1, seed=2]", "no picture meets all of seed=1, seed=2; leave out what is too much"),
        ("only: [seed=1], order: {seed: [2, 3]}", "no picture meets all of seed=1, the order of seed; leave out"),
    ],
)
def test_a_value_that_no_picture_has_is_refused_before_anything_is_rendered(written, message, folder):
    made = folder(BODY.partition("sheets:")[0] + f"sheet: {{rows: style, {written}}}\n")
    line = len(made.manifest.path.read_text().splitlines())
    with pytest.raises(ManifestError) as refused:
        made.plan()
    assert len(refused.value.problems) == 1
    assert f"m.yaml:{line}:" in refused.value.problems[0]
    assert f": sheet sheet: {message}" in refused.value.problems[0]
