"""`latentpress measure`: of folders whose pictures are known, with failures, gone and torn files; and what it refuses."""

import csv
import itertools
import json
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from fakes import FakeExecutor, facts, folder, made, manifest
from latentpress.batch.measured import measure_folder
from latentpress.cli import run_cli
from latentpress.measures import likeness
from latentpress.measures.distance import small
from published import read

__all__ = ["facts", "folder", "made", "manifest"]

# The fake paints by seed alone, so pictures of one seed are equal across styles, and nan fails.
BODY = (
    'defaults: {prompt: "a {style} kite"}\nmatrix:\n  style: [flat, Größe ½, nan]\n  seed: 1..3\n'
    'output: "{style}-{seed}.png"\n'
)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def measured(capsys, *arguments):
    assert run_cli(["measure", *map(str, arguments), "--json"]) == 0
    return read("measure", capsys.readouterr().out)


def test_numbers_of_cells_groups_and_axes(made, capsys):
    found = measured(capsys, made, "--by", "style")
    assert found["counts"] == {"measured": 6, "failed": 3}
    assert found["all"]["pictures"] == 6
    assert found["all"]["means"]["seconds"] == 0.5
    pictures = {seed: pixels(made / f"flat-{seed}.png") for seed in (1, 2, 3)}
    for cell in found["cells"]:
        if cell["status"] == "failed":
            assert cell["reason"] == "the latents became NaN"
            assert cell["luma"] is cell["seconds"] is cell["psnr"] is None
            continue
        grey = pictures[int(cell["labels"]["seed"])].astype(float) @ [0.299, 0.587, 0.114]
        assert cell["luma"] == pytest.approx(grey.mean() / 255)
        assert cell["contrast"] == pytest.approx(grey.std() / 255)
    # Across seeds the three pairs of noise, in each of two styles; across styles what is equal.
    apart = {one["axis"]: one for one in found["all"]["across"]}
    small_ones = [small(one) / 255.0 for one in pictures.values()]
    by_hand = np.mean([np.sqrt(np.mean((a - b) ** 2)) for a, b in itertools.combinations(small_ones, 2)])
    assert apart.keys() == {"style", "seed"}
    assert (apart["seed"]["pairs"], apart["seed"]["pixels"]) == (6, pytest.approx(by_hand))
    assert (apart["style"]["pairs"], apart["style"]["pixels"]) == (3, 0)
    assert apart["style"]["structure"] == pytest.approx(0, abs=1e-12)
    assert [(one["labels"]["style"], one["pictures"]) for one in found["groups"]] == [
        ("flat", 3),
        ("Größe ½", 3),
        ("nan", 0),
    ]
    assert [one["axis"] for one in found["groups"][0]["across"]] == ["seed"]
    assert found["groups"][2]["means"]["luma"] is None


def test_pictures_beside_a_reference(made, capsys):
    found = measured(capsys, made, "--against", "seed=2", "--only", "style=flat")
    first, second, third = found["cells"]
    assert [one["compared"] for one in found["cells"]] == ["unequal", "itself", "unequal"]
    assert {one["against"] for one in found["cells"]} == {"flat-2.png"}
    for cell in (first, third):
        reference, picture = pixels(made / "flat-2.png"), pixels(made / cell["file"])
        assert cell["psnr"] == pytest.approx(peak_signal_noise_ratio(reference, picture))
        assert cell["ssim"] == pytest.approx(structural_similarity(reference, picture, channel_axis=-1))
    assert second["psnr"] is second["ssim"] is None
    assert found["all"]["means"]["psnr"] == pytest.approx((first["psnr"] + third["psnr"]) / 2)
    # A prompt follows from its style, and may be asked for all the same; pictures of one seed are equal.
    found = measured(capsys, made, "--against", "prompt=a flat kite", "--only", "seed=1")
    assert [(one["compared"], one["ssim"]) for one in found["cells"]] == [
        ("itself", None),
        ("equal", 1),
        ("nothing there", None),
    ]


def test_without_scikit_image_a_note_says_how_to_have_ssim(made, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    likeness.structural_similarity.cache_clear()
    try:
        assert run_cli(["measure", str(made), "--against", "seed=1", "--json"]) == 0
    finally:
        likeness.structural_similarity.cache_clear()
    said = capsys.readouterr()
    assert said.err.startswith(
        "note: SSIM is left out, package scikit-image is missing; pip install 'latentpress[diff]'"
    )
    second = read("measure", said.out)["cells"][1]
    assert second["psnr"] > 0
    assert second["ssim"] is None


def test_what_is_gone_or_torn_is_counted_and_moves_nothing(made, capsys):
    (made / "flat-1.png").unlink()
    torn = made / "flat-2.png"
    torn.write_bytes(torn.read_bytes()[:-200])
    Image.new("RGB", (8, 8), "red").save(made / "flat-3.png")
    before = sorted((path, path.stat().st_mtime_ns) for path in made.rglob("*"))
    assert run_cli(["measure", str(made), "--against", "style=flat", "--by", "style"]) == 0
    said = capsys.readouterr().out
    assert "3 of 9 pictures measured, 3 failed, 1 gone, 1 cannot be read, 1 not what was rendered\n" in said
    assert "\nflat-2.png: file cannot be read\nflat-3.png: file is not what was rendered\n" in said
    assert "against style=flat: 3 have none" in said
    assert sorted((path, path.stat().st_mtime_ns) for path in made.rglob("*")) == before
    found = measured(capsys, made)
    assert [one["file"] for one in found["cells"]] == [
        f"{style}-{seed}.png" for style in ("flat", "Größe ½", "nan") for seed in (1, 2, 3)
    ]


def test_all_tables_say_in_the_same_words_why_there_is_no_picture(folder, tmp_path, capsys):
    made = folder(BODY.replace("1..3", "1..5"))
    with pytest.raises(KeyboardInterrupt):
        made.render(executor=FakeExecutor(crash_after=14))
    [waiting] = {f"{style}-{seed}.png" for style in ("flat", "Größe ½") for seed in range(1, 6)} - {
        path.name for path in made.path.glob("*.png")
    }
    gone, torn = sorted(path.name for path in made.path.glob("*.png"))[:2]
    (made.path / gone).unlink()
    (made.path / torn).write_bytes(b"torn")
    expected = {f"nan-{seed}.png": ("failed", "the latents became NaN") for seed in range(1, 6)}
    expected |= {waiting: ("waiting", "not rendered yet"), gone: ("missing", "file is gone")}
    expected |= {torn: ("missing", "file cannot be read")}
    files = [
        tmp_path / f"{command}.{kind}" for command in ("sheet", "measure", "results") for kind in ("jsonl", "parquet")
    ]
    for path in files:
        assert run_cli([path.stem, str(made.path), "-o", str(path)]) == 0
    for path in files:
        name = "file_name" if path.stem == "results" else "file"
        read_rows = pq.read_table(path).to_pylist() if path.suffix == ".parquet" else None
        rows = read_rows or [json.loads(line) for line in path.read_text().splitlines()]
        found = {row[name]: (row["status"], row["reason"]) for row in rows if row["status"] != "done"}
        assert found == expected, path
        assert {row["reason"] or "" for row in rows if row["status"] == "done"} == {""}


def test_a_folder_where_nothing_can_be_measured(made, capsys):
    for path in made.glob("*.png"):
        path.unlink()
    assert run_cli(["measure", str(made)]) == 0
    assert capsys.readouterr().out == f"{made}: 0 of 9 pictures measured, 3 failed, 6 gone\n"
    assert measured(capsys, made)["all"]["across"] == []


def test_tables_have_the_columns_of_a_sheets_table_and_the_numbers(made, tmp_path, capsys):
    files = [tmp_path / f"cells.{kind}" for kind in ("csv", "jsonl", "parquet", "json")]
    assert run_cli(["measure", str(made), "--against", "seed=1", *(f"-o{path}" for path in files)]) == 0
    assert capsys.readouterr().out.split()[-4:] == list(map(str, files))
    assert run_cli(["sheet", str(made), "-o", str(tmp_path / "sheet.jsonl")]) == 0
    capsys.readouterr()
    sheet = [json.loads(line) for line in (tmp_path / "sheet.jsonl").read_text().splitlines()]
    lines = [json.loads(line) for line in files[1].read_text().splitlines()]
    assert [{key: line[key] for key in sheet[0]} for line in lines] == sheet
    assert pq.read_table(files[2]).to_pylist() == lines
    assert str(pq.read_table(files[2]).schema.field("ssim").type) == "double"
    with files[0].open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [{key: "" if value is None else str(value) for key, value in line.items()} for line in lines] == rows
    everything = json.loads(files[3].read_text())
    assert [cell["sharpness"] for cell in everything["cells"]] == [line["sharpness"] for line in lines]
    assert run_cli(["measure", str(made), "--by", "seed", "-o", str(tmp_path / "by.parquet")]) == 0
    by = pq.read_table(tmp_path / "by.parquet").to_pylist()
    assert [(row["seed"], row["pictures"], row["across_style_pixels"]) for row in by] == [
        (seed, 2, 0) for seed in "123"
    ]


def test_groups_of_two_axes_are_told_by_both(made, capsys):
    found = measured(capsys, made, "--by", "seed,style")
    groups = {(one["labels"]["seed"], one["labels"]["style"]): one for one in found["groups"]}
    assert len(groups) == 9
    cells = {(one["labels"]["seed"], one["labels"]["style"]): one for one in found["cells"]}
    for key, group in groups.items():
        assert group["means"]["sharpness"] == cells[key]["sharpness"]
        assert group["across"] == [], "no axis is left in which its pictures differ"
    assert run_cli(["measure", str(made), "--by", "style"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("style=")][1].split()[:4] == ["style=Größe", "½", "3", "0.500"]
    assert sum(line.startswith("apart across seed, style=") for line in lines) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--against", "seed"], "--against 'seed': write AXIS=VALUE, e.g. loss=none"),
        (["--against", "sead=1"], "'sead' is no axis and no field of these pictures; did you mean 'seed'?"),
        (["--against", "style=flaat"], "--against 'style=flaat': no picture has that style; did you mean 'flat'?"),
        (["--against", "steps=50"], "--against 'steps': all pictures have the same; name one of style, seed"),
        (["--against", "seed=1", "--against", "seed=2"], "seed is '1' already; name each axis once"),
        (["--by", "size"], "--by 'size': all pictures have the same; name one of style, seed"),
        (["--only", "style=x"], "--only 'style=x' chooses no cell"),
        (["-o", "x.txt"], "-o x.txt: a table is CSV, JSON or Parquet; give a name that ends in .csv, .json, .jsonl"),
        (["-o", "no/x.csv"], "-o no/x.csv: there is no folder no; make it first"),
        (["-o", "taken.csv"], "-o taken.csv: exists already; give another name, or --replace to write over a file"),
        (["-o", "a.csv", "-o", "a.csv"], "-o names one file twice"),
    ],
)
def test_wrong_options_are_refused_and_nothing_is_written(options, message, made, tmp_path, capsys):
    (tmp_path / "taken.csv").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert run_cli(["measure", str(made), *options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_no_folder_and_no_plan(tmp_path, capsys):
    assert run_cli(["measure", str(tmp_path / "none")]) == 2
    assert run_cli(["measure", str(tmp_path)]) == 2
    assert [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines()] == [
        f"{tmp_path}/none: no such folder; render a manifest into it first, or name another",
        f"{tmp_path}: its ledger holds no plan; render a manifest into it first",
    ]


def test_one_thread_or_many_measure_the_same(made):
    assert measure_folder(made, threads=1) == measure_folder(made, threads=5)
