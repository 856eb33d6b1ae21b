"""Two folders compared: every state a pair can be in, by formulas written out here and by scikit-image; exit codes; JSON."""

import json
import math
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from fakes import FakeExecutor, facts, folder, manifest
from latentpress.batch.pictures.png import png_bytes
from latentpress.cli import run_cli
from latentpress.compare import compare
from latentpress.measures import likeness
from latentpress.measures.pooled import mapped

__all__ = ["facts", "folder", "manifest"]

NOISE = np.random.default_rng(13).integers(0, 256, (48, 40, 3), np.uint8)
# As people's pictures are: something smooth, and noise that leaves its structure.
SMOOTH = np.add.outer(np.arange(48) * 3, np.arange(40))[..., None].repeat(3, 2).astype(np.uint8)


def made(job, **request):
    own = {"job_hash": job, "engine": "cpu", "bundle": {"name": "demo", "sha256": "a" * 64}, "concepts": {}}
    return {"latentpress": json.dumps(own | {"request": {"prompt": "an owl", "seed": 1, "steps": 20} | request})}


def put(path, image, chunks=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_bytes(image, chunks or {}))


def moved(image, by):
    """`image` with every channel of every pixel `by` levels away."""
    return np.where(image < 128, image + by, image - by).astype(np.uint8)


@pytest.fixture
def sides(tmp_path):
    """Folders A and B with one pair, or one picture, of every kind."""
    a, b = tmp_path / "A", tmp_path / "B"
    for side in (a, b):
        put(side / "same.png", NOISE, made("1"))
        put(side / "deep/er/close.png", SMOOTH if side == a else moved(SMOOTH, 1))
        put(side / "different.png", SMOOTH if side == a else moved(SMOOTH, 20))
        put(side / "worse.png", SMOOTH if side == a else NOISE)
        put(side / "size.png", NOISE if side == a else NOISE[:40])
        put(side / "torn.png", NOISE)
        put(side / "flipped.png", NOISE)
        put(side / "text.png", NOISE)
        put(side / "sheet.png", NOISE if side == a else SMOOTH)
        put(side / ".latentpress/replaced/1/same.png", SMOOTH if side == a else NOISE)
        (side / "notes.txt").write_text(str(side))
    Image.fromarray(NOISE).save(b / "same.png", compress_level=1)
    (b / "torn.png").write_bytes((a / "torn.png").read_bytes()[:2000])
    content = bytearray((a / "flipped.png").read_bytes())
    content[3000] ^= 1
    (a / "flipped.png").write_bytes(content)
    (b / "text.png").write_text("no picture")
    put(a / "old/name.png", SMOOTH, made("twin"))
    put(b / "new name.png", SMOOTH, made("twin"))
    put(a / "gone.png", NOISE, made("gone"))
    put(b / "fresh.png", NOISE, made("fresh"))
    (b / "shot.JPG").write_bytes(b"")
    return a, b


def test_every_state_is_found_and_the_worst_comes_first(sides):
    a, b = sides
    report = compare(a, b)
    assert report.counts == {"equal": 2, "close": 1, "different": 3, "unreadable": 3}
    assert [(one.a, one.state) for one in report.unequal] == [
        *((name, "unreadable") for name in ("flipped.png", "text.png", "torn.png")),
        *((name, "different") for name in ("size.png", "worse.png", "different.png")),
        ("deep/er/close.png", "close"),
    ]
    assert report.only_a == ("gone.png",)
    assert report.only_b == ("fresh.png", "shot.JPG")
    by_name = {one.a: one for one in report.unequal}
    assert by_name["flipped.png"].why.startswith("A is no whole picture (broken ")
    assert by_name["torn.png"].why == "B is no whole picture (image file is truncated)"
    assert by_name["text.png"].why == "B is no whole picture (of no format that is known)"
    assert by_name["size.png"].sizes == ((40, 48), (40, 40))
    # Every channel 1 level, and 20 levels, apart: 20 log10(255 / d) dB.
    for name, apart in (("deep/er/close.png", 1), ("different.png", 20)):
        assert by_name[name].psnr == pytest.approx(20 * math.log10(255 / apart), abs=1e-9)
        assert by_name[name].largest == apart
    error = np.mean((SMOOTH.astype(float) - NOISE.astype(float)) ** 2)
    assert by_name["worse.png"].psnr == pytest.approx(10 * math.log10(255**2 / error), abs=1e-9)
    for name in ("deep/er/close.png", "different.png", "worse.png"):
        images = [np.asarray(Image.open(side / name)) for side in sides]
        similar = structural_similarity(*images, channel_axis=-1, data_range=255)
        assert by_name[name].ssim == pytest.approx(similar, abs=1e-12)


def test_the_command_tells_it_in_lines_and_in_json(sides, capsys):
    a, b = map(str, sides)
    assert run_cli(["diff", a, b]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[3:6] == ["only in A   gone.png", "only in B   fresh.png", "only in B   shot.JPG"]
    assert lines[6] == "different   size.png: 40x48 and 40x40 pixels"
    assert lines[9].startswith("close       deep/er/close.png: 48.13 dB, SSIM 0.9")
    assert lines[-1] == (
        f"A {a}, B {b}: 2 equal, 1 close (>= 40 dB), 3 different, 3 unreadable, 1 only in A, 2 only in B"
    )
    assert run_cli(["diff", a, b, "--json", "--close", "20"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["counts"] == {"equal": 2, "close": 2, "different": 2, "unreadable": 3, "only_in_a": 1, "only_in_b": 2}
    assert [one["a"] for one in said["unequal"]][-1] == "deep/er/close.png"
    assert (said["only_in_a"], said["only_in_b"]) == (["gone.png"], ["fresh.png", "shot.JPG"])


def test_sheets_are_no_pictures_whatever_they_are_called(folder):
    sheets = "{name: s1, columns: seed, formats: [png, webp, tif]}, {name: other, rows: seed}"
    body = (
        f"defaults: {{prompt: owl, size: 16x16}}\nmatrix: {{seed: 1..2}}\noutput: '{{seed}}.png'\nsheets: [{sheets}]\n"
    )
    sides = [folder(body, name) for name in ("A", "B")]
    for side in sides:
        side.render(executor=FakeExecutor())
    assert {path.name for path in sides[0].path.iterdir()} > {"s1.png", "s1.webp", "s1.tif", "other.png", "1.png"}
    (sides[0].path / "s1.png").unlink()
    shutil.rmtree(sides[1].path / ".latentpress")  # a copy of the pictures alone
    report = compare(sides[0].path, sides[1].path)
    assert (report.counts["equal"], report.only_a, report.only_b) == (2, (), ())


def test_equal_folders_and_bad_arguments_have_their_exit_codes(sides, tmp_path, capsys):
    a, b = map(str, sides)
    assert run_cli(["diff", a, a]) == 0
    assert run_cli(["diff", f"{a}/same.png", f"{b}/same.png"]) == 0
    assert run_cli(["diff", f"{a}/worse.png", f"{b}/worse.png"]) == 1
    # Asked for by name, a folder of the program's own is compared.
    assert run_cli(["diff", f"{a}/.latentpress/replaced/1", b]) == 1
    assert "same.png" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken.png").write_bytes(b"mine")
    for words, sentence in (
        ([a, f"{b}/same.png"], f"{a} is a folder and {b}/same.png is not; give two folders, or two pictures"),
        ([a, f"{b}/nowhere"], f"{b}/nowhere: no such folder or picture; check the path"),
        ([f"{tmp_path}/empty", f"{tmp_path}/empty"], "no pictures in either; give folders with png, jpg"),
        ([a, b, "--close", "inf"], "close is inf; it must be a number of dB from 0 on, e.g. 40"),
        ([a, b, "--sheet", f"{tmp_path}/taken.png"], "taken.png: exists already, and nothing is overwritten"),
        ([a, b, "--sheet", f"{tmp_path}/x.jpg"], "x.jpg: the sheet is a PNG; give a name that ends in .png"),
        ([a, b, "--sheet", f"{tmp_path}/no/x.png"], f"x.png: there is no folder {tmp_path}/no; make it first"),
    ):
        assert run_cli(["diff", *words]) == 2
        said = capsys.readouterr()
        assert sentence in said.err
        assert len(said.err.splitlines()) == 1
        assert said.out == ""
    assert (tmp_path / "taken.png").read_bytes() == b"mine"


def test_pictures_are_compared_as_they_look(tmp_path):
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    grey = NOISE[..., 0]
    Image.fromarray(grey).save(a)
    Image.fromarray(grey[..., None].repeat(3, 2)).save(b)
    assert compare(a, b).equal
    Image.fromarray(np.dstack([NOISE, np.full(NOISE.shape[:2], 255, np.uint8)])).save(a)
    Image.fromarray(NOISE).save(b)
    assert compare(a, b).equal, "opaque is opaque"
    half = np.dstack([NOISE, np.full(NOISE.shape[:2], 155, np.uint8)])
    Image.fromarray(half).save(a)
    [one] = compare(a, b).unequal
    # A quarter of the values is 100 levels apart.
    assert one.psnr == pytest.approx(10 * math.log10(255**2 / 2500), abs=1e-9)


@pytest.mark.parametrize(("shape", "window"), [((6, 40), 5), ((5, 5), 5), ((4, 9), 3), ((2, 9), None), ((1, 1), None)])
def test_small_pictures_are_measured_by_the_window_that_fits(tmp_path, shape, window):
    one, other = NOISE[: shape[0], : shape[1]], moved(NOISE, 3)[: shape[0], : shape[1]]
    put(tmp_path / "a.png", one)
    put(tmp_path / "b.png", other)
    [found] = compare(tmp_path / "a.png", tmp_path / "b.png").unequal
    assert found.psnr == pytest.approx(20 * math.log10(255 / 3), abs=1e-9)
    if window is None:
        assert found.ssim is None
    else:
        expected = structural_similarity(one, other, win_size=window, channel_axis=-1, data_range=255)
        assert found.ssim == pytest.approx(expected, abs=1e-12)


def test_without_scikit_image_a_note_says_how_to_have_ssim(sides, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    likeness.structural_similarity.cache_clear()
    try:
        assert run_cli(["diff", *map(str, sides)]) == 1
    finally:
        likeness.structural_similarity.cache_clear()
    said = capsys.readouterr()
    assert "deep/er/close.png: 48.13 dB, at most 1 of 255 apart" in said.out
    assert (
        said.err == "note: SSIM is left out, package scikit-image is missing; pip install 'latentpress[diff]' adds it\n"
    )


def test_pairs_are_compared_some_at_a_time():
    """Of 10,000 pairs no more than four for each thread are read ahead of what has been counted."""
    from concurrent.futures import ThreadPoolExecutor

    asked = 0

    def names():
        nonlocal asked
        for number in range(1000):
            asked += 1
            yield number

    ahead = []
    with ThreadPoolExecutor(2) as pool:
        for count, found in enumerate(mapped(pool, lambda number: number, names()), 1):
            assert found == count - 1
            ahead.append(asked - count)
    assert asked == 1000
    assert max(ahead) <= 8
