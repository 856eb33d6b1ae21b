"""What a render leaves in its folder: names from the matrix, metadata in every PNG, a ledger that agrees, a sheet."""

import hashlib
import json
import sqlite3

import numpy as np
import pytest
from PIL import Image

from latentpress.cli import run_cli
from pictures import enlarged, places

MANIFEST = """\
version: 1
name: matrix
model: {bundle}
defaults: {{prompt: "a mouse in the style of {{style}}", sampler: ddim, steps: 2, size: 64x64, negative_prompt: blurry}}
matrix:
  style:
    - {{style: <line-art>, seed: 41}}
    - {{style: <moeb-style>, seed: 43}}
  loss:
    - none
    - {{name: channel, channel: red, scale: 20, every: 1}}
  exclude:
    - {{style: <moeb-style>, loss: channel}}
output: "{{style}}/{{loss}}-{{seed}}.png"
sheet: {{rows: loss, columns: style}}
"""
EXPECTED = {"line-art/none-41.png", "line-art/channel-41.png", "moeb-style/none-43.png"}


@pytest.fixture(scope="module")
def rendered(assets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("render")
    (folder / "matrix.yaml").write_text(MANIFEST.format(bundle=assets / "bundle"))
    assert run_cli(["render", str(folder / "matrix.yaml"), "-o", str(folder / "out")]) == 0
    return folder / "out"


def rows(out):
    with sqlite3.connect(out / ".latentpress" / "ledger.sqlite") as connection:
        connection.row_factory = sqlite3.Row
        return {row["output"]: row for row in connection.execute("SELECT * FROM images")}


def test_zip_and_exclude_give_exactly_these_names(rendered):
    found = {str(path.relative_to(rendered)) for path in rendered.rglob("*.png")}
    assert found == {*EXPECTED, "sheet.png"}


def test_the_ledger_agrees_with_the_files(rendered):
    ledger = rows(rendered)
    assert set(ledger) == EXPECTED
    for name, row in ledger.items():
        content = (rendered / name).read_bytes()
        pixels = np.asarray(Image.open(rendered / name).convert("RGB"))
        assert row["file_sha256"] == hashlib.sha256(content).hexdigest()
        assert row["pixel_sha256"] == hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def test_every_png_says_how_it_was_made(rendered):
    picture = Image.open(rendered / "line-art/channel-41.png")
    prompt, negative, parameters = picture.text["parameters"].split("\n")
    assert prompt == "a mouse in the style of <line-art>"
    assert negative == "Negative prompt: blurry"
    pairs = dict(pair.split(": ", 1) for pair in parameters.split(", "))
    assert next(iter(pairs)) == "Steps"
    assert (pairs["Steps"], pairs["Seed"], pairs["Size"]) == ("2", "41", "64x64")
    own = json.loads(picture.text["latentpress"])
    assert rows(rendered)["line-art/channel-41.png"]["job_hash"] in json.dumps(own)


def test_the_sheet_holds_every_picture(rendered):
    sheet = np.asarray(Image.open(rendered / "sheet.png").convert("RGB"))
    # A 64-pixel picture is shown twice as large, pixel for pixel, and no two of these are alike.
    found = {name: places(sheet, enlarged(rendered / name)) for name in EXPECTED}
    assert {name: len(where) for name, where in found.items()} == dict.fromkeys(EXPECTED, 1)
    line_art, guided, moeb = (
        found[f"{name}.png"][0] for name in ("line-art/none-41", "line-art/channel-41", "moeb-style/none-43")
    )
    assert line_art[0] == moeb[0] < guided[0], "losses go down"
    assert line_art[1] == guided[1] < moeb[1], "styles go along"


def test_plan_and_status_speak_json(rendered, capsys):
    manifest = str(rendered.parent / "matrix.yaml")
    capsys.readouterr()
    for command in ("plan", "status"):
        assert run_cli([command, manifest, "-o", str(rendered), "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["counts"]["done"] == 3
