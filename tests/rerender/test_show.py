"""`latentpress show`: what pictures say of themselves, and manifests that make them again."""

import contextlib
import json
import sqlite3

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from latentpress.batch.pictures.png import pixel_sha256
from latentpress.cli import run_cli


@pytest.fixture
def show(rendered, tmp_path, monkeypatch, capsys):
    """show(argument, ...): exit code, and what it says on stdout and stderr; nobody stands where pictures were rendered."""
    monkeypatch.setenv("LATENTPRESS_CACHE", str(rendered.folder / "cache"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = run_cli(["show", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def hashes(folder):
    with contextlib.closing(sqlite3.connect(folder / ".latentpress/ledger.sqlite")) as connection:
        return dict(connection.execute("SELECT output, job_hash FROM images WHERE status='done'").fetchall())


def test_a_manifest_of_twenty_settings_makes_the_same_pixels(rendered, show, tmp_path, capsys):
    """Also of braces, which are characters in a prompt that is known."""
    pictures = sorted(rendered.out.glob("*.png"))
    code, _, err = show(*pictures, rendered.refined, "--manifest")
    assert (code, "ask for the pictures of each model apart" in err) == (2, True)
    for name, paths in (("again", pictures), ("refined", [rendered.refined])):
        code, text, err = show(*paths, "--manifest")
        assert (code, err) == (0, "")
        (tmp_path / f"{name}.yaml").write_text(text)
        assert run_cli(["render", f"{name}.yaml", "-o", name, "--batch-rows", "8", "--threads", "1"]) == 0
        capsys.readouterr()
        for path in paths:
            with Image.open(path) as was, Image.open(tmp_path / name / path.name) as now:
                assert np.array_equal(np.asarray(was), np.asarray(now)), path.name
        assert hashes(tmp_path / name) == hashes(paths[0].parent)


def test_it_says_what_made_a_picture_and_whether_it_still_is_that(rendered, show, tmp_path):
    code, out, err = show(rendered.picture("losses"))
    assert (code, err) == (0, "")
    head, *lines = out.splitlines()
    assert head == f"{rendered.picture('losses')}: PNG, 64x64, as it was saved"
    said = {line[2:17].strip(): line[19:] for line in lines}
    assert (said["prompt"], said["negative prompt"], said["seed"]) == ("a mouse on a hill", "none", "7")
    assert said["losses"].startswith("name channel every 1 params channel red target 0.9 scale 20 ")
    with Image.open(rendered.picture("losses")) as picture:
        image, texts = np.array(picture), dict(picture.text)
    image[:8] ^= 64
    info = PngInfo()
    for name, text in texts.items():
        info.add_itxt(name, text)
    Image.fromarray(image).save(tmp_path / "edited.png", pnginfo=info)
    assert show("edited.png")[1].startswith("edited.png: PNG, 64x64, changed since it was saved\n")


def test_other_formats_say_the_same_and_are_made_again(rendered, show, tmp_path, capsys):
    """The pixels before they were encoded: as the PNG of the same job has them."""
    _, text, _ = show(rendered.picture("karras"), "--manifest")
    for suffix in ("jpg", "webp", "avif"):
        (tmp_path / "m.yaml").write_text(text.replace('"{id}.png"', f'"{{id}}.{suffix}"'))
        assert run_cli(["render", "m.yaml", "-o", suffix, "--batch-rows", "8", "--threads", "1"]) == 0
    pictures = [tmp_path / suffix / f"karras.{suffix}" for suffix in ("jpg", "webp", "avif")]
    capsys.readouterr()
    assert run_cli(["rerender", *map(str, pictures), "--threads", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{path}: equal to the pixel" for path in pictures]
    told = json.loads(show(*pictures, "--json")[1])["pictures"]
    with Image.open(rendered.picture("karras")) as picture:
        expected, parameters = pixel_sha256(np.asarray(picture)), picture.text["parameters"]
    assert [one["format"] for one in told] == ["JPEG", "WEBP", "AVIF"]
    assert all(one["intact"] and one["latentpress"]["pixel_sha256"] == expected for one in told)
    assert [one["parameters"] for one in told] == [parameters] * 3
    assert show(*pictures[:1], "--manifest")[1] == text


def test_what_is_missing_and_what_says_nothing_are_sentences(rendered, show, tmp_path, demo_cache, monkeypatch):
    monkeypatch.setenv("LATENTPRESS_CACHE", str(demo_cache))
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    (tmp_path / "text.png").write_text("hello")
    assert show("plain.png") == (
        2,
        "",
        "error: plain.png: does not say how it was made; give a picture as latentpress saved it\n",
    )
    assert "text.png: cannot be read (of no format that is known)" in show("text.png")[2]
    assert "none.png: cannot be read (No such file" in show("none.png")[2]
    lone = tmp_path / "lone.png"
    lone.write_bytes(rendered.picture("masked").read_bytes())
    code, out, err = show(lone, "--manifest")
    assert (code, out) == (2, "")
    assert "name its folder with --model BUNDLE" in err
    inputs = [argument for name in ("photo", "mask") for argument in ("--input", rendered.folder / f"{name}.png")]
    code, out, err = show(lone, "--manifest", "--model", rendered.folder / "bundle", *inputs)
    assert (code, err) == (0, "")
    assert f'init_image: "{rendered.folder / "photo.png"}"' in out
    code, out, err = show(lone, "--manifest", "--model", "demo", *inputs)
    assert code == 0
    assert "warning: " in err
    assert "is another bundle than" in err
    assert "ask for one of them" in show(lone, "--manifest", "--json")[2]
    assert "are for --manifest" in show(lone, "--model", "demo")[2]
    info = PngInfo()
    info.add_text("parameters", "a kite\nSteps: 3, Sampler: Euler, Seed: 7")
    Image.new("RGB", (8, 8)).save(tmp_path / "foreign.png", pnginfo=info)
    assert show("foreign.png")[1] == (
        "foreign.png: PNG, 8x8, of an unknown program\n  a kite\n  Steps: 3, Sampler: Euler, Seed: 7\n"
    )
