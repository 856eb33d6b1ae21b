"""Renders compared: what differs in how they were made, renamed pictures, and the sheet, looked at from outside."""

import json

import numpy as np
import pytest
from PIL import Image

from fakes import FakeExecutor
from latentpress.batch.pictures.png import png_bytes
from latentpress.batch.proof.provenance import provenance
from latentpress.cli import run_cli
from latentpress.compare import compare, sheet
from latentpress.compare.made import differences
from latentpress.runtime.request import Origin
from latentpress.sheets.png import raster
from latentpress.sheets.text.bidi import right_to_left
from latentpress.sheets.text.fonts import fonts_of
from pictures import places

JOBS = """\
defaults: {{prompt: "{prompt}", size: 64x64, steps: {steps}}}
matrix: {{seed: 1..4}}
output: "{name}.png"
"""
OWL = "an owl in the style of <line-art>, " + "very " * 20 + "wise"


class Elsewhere(FakeExecutor):
    """Another engine, whose pictures are one level apart in every 16th pixel."""

    origin = Origin("openvino-bf16", 8, "any")

    def render(self, requests):
        for rendered in super().render(requests):
            rendered.image[::4, ::4] ^= 1
            yield rendered


@pytest.fixture
def render(folder):
    def go(name, executor=None, prompt=OWL, steps=20, names="{seed}"):
        out = folder(JOBS.format(prompt=prompt, steps=steps, name=names), name)
        out.render(executor=executor or FakeExecutor())
        return out.path

    return go


def test_what_differs_for_all_is_said_once_and_the_rest_with_its_pair(render, capsys):
    a, b = render("a"), render("b", Elsewhere())
    report = compare(a, b)
    assert report.counts == {"equal": 0, "close": 4, "different": 0, "unreadable": 0}
    assert report.common == ("engine fake -> openvino:bf16",)
    assert [report.own(pair) for pair in report.unequal] == [""] * 4
    # One picture of another job under the same name.
    (b / "2.png").write_bytes((render("c", Elsewhere(), prompt=f"{OWL} and old", steps=30) / "2.png").read_bytes())
    assert run_cli(["diff", str(a), str(b)]) == 1
    lines = capsys.readouterr().out.splitlines()
    [own] = [line for line in lines if "2.png" in line]
    assert own.endswith("; prompt '...ry very wise' -> '...ry very wise and old', steps 20 -> 30")
    assert lines[-2] == "made differently, all 4 pairs: engine fake -> openvino:bf16"


def test_equal_pixels_made_differently_are_equal_and_that_is_told(render, capsys):
    a, b = render("a"), render("b", steps=30)
    assert run_cli(["diff", str(a), str(b)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "made differently, all 4 pairs: steps 20 -> 30",
        f"A {a}, B {b}: 4 equal",
    ]


def test_a_renamed_picture_is_the_same_picture(render, capsys):
    a, b = render("a", names="{seed}"), render("b", Elsewhere(), names="deep/{index}-{hash:.12}")
    report = compare(a, b)
    assert not report.only_a
    assert not report.only_b
    job = {path: provenance(path)["job_hash"] for path in (*a.glob("*.png"), *b.glob("deep/*.png"))}
    assert {job[a / pair.a] == job[b / pair.b] for pair in report.unequal} == {True}
    assert run_cli(["diff", str(a), str(b)]) == 1
    assert " 1.png = deep/1-" in capsys.readouterr().out


def test_every_part_of_a_provenance_is_compared():
    request = {"prompt": "an owl", "seed": 1, "losses": [], "micro": {"aesthetic_score": 6.0}}
    bundle = {"name": "demo", "sha256": "a" * 64, "source_sha256": "b" * 64}
    one = {"request": request, "bundle": bundle, "concepts": {"<x>": "c" * 64}, "engine": "cpu", "job_hash": "1"}
    assert differences(one, one | {"job_hash": "2"}) == ()
    # A field that is left out at its default is at its default.
    assert differences(one, one | {"request": request | {"guidance_stop": 1.0}}) == ()
    assert differences(one, one | {"request": request | {"guidance_stop": 0.6}}) == ("guidance_stop 1.0 -> 0.6",)
    scored = {"request": request | {"micro": {"aesthetic_score": 7.0}}}
    assert differences(one, one | scored) == ("micro.aesthetic_score 6.0 -> 7.0",)
    fused = bundle | {"sha256": "d" * 64, "loras": [{"source": "x"}]}
    assert differences(one, one | {"bundle": fused}) == (
        "bundle demo aaaaaaaaaaaa -> demo dddddddddddd",
        'bundle\'s loras none -> [{"source": "x"}]',
    )
    assert differences(one, one | {"concepts": {"<y>": "e" * 64}}) == (
        "concept <x> cccccccccccc -> none",
        "concept <y> none -> eeeeeeeeeeee",
    )
    assert differences(one, one | {"rules": {"mask-alpha": 3}}) == ('rules none -> {"mask-alpha": 3}',)
    # Earlier pictures name other hashes of a bundle and of concepts: what both sides name is compared.
    later = {"bundle": {"content": "f" * 64} | {key: bundle[key] for key in ("name", "source_sha256")}, "identity": 2}
    assert differences(one, one | later | {"concepts": {"<x>": "9" * 64}}) == ()
    other = later["bundle"] | {"content": "0" * 64}
    assert differences(one | later, one | later | {"bundle": other}) == (
        "bundle demo ffffffffffff -> demo 000000000000",
    )
    assert differences(None, one) == ("A does not say how it was made",)
    assert differences(None, None) == ()


NONSENSE = (
    *("", "no json", "[1]", "[" * 100_000, '{"job_hash": 3, "request": {}, "bundle": {}}'),
    *('{"job_hash": "a", "request": []}', '{"job_hash": "a", "request": {}, "bundle": {"x": NaN}}'),
)


@pytest.mark.parametrize("text", NONSENSE)
def test_what_makes_no_sense_is_no_provenance(text):
    content = png_bytes(np.zeros((4, 4, 3), np.uint8), {"latentpress": text})
    assert provenance(content) is None


def test_the_sheet_shows_both_and_their_difference_amplified(render, tmp_path, capsys):
    a, b = render("a"), render("b", Elsewhere())
    out = tmp_path / "differ.png"
    assert run_cli(["diff", str(a), str(b), "--sheet", str(out)]) == 1
    assert f"sheet: {out}, 4 of 4 pairs" in capsys.readouterr().out
    sheet = np.asarray(Image.open(out).convert("RGB"))
    difference = np.zeros((64, 64, 3), np.uint8)
    difference[::4, ::4] = 255  # 1 level, which is the largest, times 255

    def shown(image, top, left):
        """Whether `image` is there, each of its pixels a square of 4."""
        return np.array_equal(sheet[top : top + 256, left : left + 256], image.repeat(4, 0).repeat(4, 1))

    tops = []
    for name in ("1.png", "2.png", "3.png", "4.png"):
        one, other = (np.asarray(Image.open(folder / name)) for folder in (a, b))
        corner = one[:1, :8].repeat(4, 0).repeat(4, 1)
        [[top, left]] = [place for place in places(sheet, corner) if shown(one, *place)]
        assert shown(other, top, left + 264)
        assert shown(difference, top, left + 528)
        tops.append(top)
    assert tops == sorted(set(tops)), "a row each; all are as far apart, so by their names"
    assert run_cli(["diff", str(a), str(b), "--sheet", str(out)]) == 2
    assert run_cli(["diff", str(a), str(a), "--sheet", str(tmp_path / "none.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sheet"] is None
    assert not (tmp_path / "none.png").exists()


@pytest.mark.skipif(bool(fonts_of().missing("語ß😀")), reason="Debian's fonts-noto packages are not installed")
def test_names_are_set_in_every_script(tmp_path, monkeypatch):
    """Each by itself, so that a name from right to left turns no other line; and no letter is a box."""
    painted = []
    monkeypatch.setattr(sheet, "raster", lambda page, *args: painted.append(page) or raster(page, *args))
    a, b = tmp_path / "a", tmp_path / "b"
    names = ["Größe ½.png", "絵文字.png", "مرحبا.png", "😀👨‍👩‍👧.png", "a\nb.png", "y" * 90 + ".png"]
    for folder, level in ((a, 0), (b, 99)):
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(png_bytes(np.full((8, 8, 3), level, np.uint8), {}))
    image = sheet.draw_pairs(compare(a, b))
    [page] = painted
    found = [text for text in page.texts if text.whole.endswith(".png")]
    shown = {"".join(line.text for line in text.lines) for text in found}
    assert shown == {name.replace("\n", "\\n") for name in names}
    assert {right_to_left(text.whole) for text in page.texts if text not in found} == {False}
    assert all(not fonts_of().missing(text.whole) for text in found)
    label = next(text for text in found if text.whole.startswith("絵")).rect
    box = [round(side * 96 / 25.4) for side in (label.x, label.y, label.right, label.bottom)]
    assert (np.asarray(image.convert("L"))[box[1] : box[3], box[0] : box[2]] < 128).sum() > 100


def test_a_sheet_of_many_pairs_shows_the_worst_and_counts_the_others(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("latentpress.compare.sheet.MOST", 5)
    a, b = tmp_path / "a", tmp_path / "b"
    for number in range(1, 13):
        for folder, level in ((a, 0), (b, number)):
            folder.mkdir(exist_ok=True)
            image = np.full((8, 8, 3), level, np.uint8)
            (folder / f"{number}.png").write_bytes(png_bytes(image, {}))
    out = tmp_path / "differ.png"
    assert run_cli(["diff", str(a), str(b), "--sheet", str(out)]) == 1
    assert f"sheet: {out}, 5 of 12 pairs" in capsys.readouterr().out
    sheet = np.asarray(Image.open(out).convert("RGB"))
    greys = np.bincount(sheet[(sheet[..., 0] == sheet[..., 1]) & (sheet[..., 1] == sheet[..., 2]), 0], minlength=256)
    shown = [level for level in range(1, 13) if greys[level] >= 256**2]
    assert shown == [8, 9, 10, 11, 12], "the 7 that differ least are left out"
