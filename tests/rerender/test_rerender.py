"""Pictures made again from what they say themselves: to the pixel, or what differs is named."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from compare import psnr
from latentpress.batch.executors.local import Settings
from latentpress.batch.folder import OutputFolder
from latentpress.batch.ledger.ledger import Ledger, ledger_path
from latentpress.batch.pictures.png import pixel_sha256
from latentpress.cli import run_cli
from latentpress.engines.opening import open_session
from latentpress.runtime.loop import model as models
from moving import Counting


@pytest.fixture(autouse=True)
def _elsewhere(rendered, tmp_path, monkeypatch):
    """No test stands where the pictures were rendered."""
    monkeypatch.setenv("LATENTPRESS_CACHE", str(rendered.folder / "cache"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")


@pytest.fixture
def again(capsys):
    """again(path, ...): exit code, what it says of the pictures, and what it says on stderr."""

    def go(*arguments):
        code = run_cli(["rerender", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return go


def pixels(path):
    return np.asarray(Image.open(path))


def resaved(path, edit=lambda image: None, **changes):
    """Save the picture over itself with its texts, another program's way, edited, and changes of its request."""
    with Image.open(path) as image:
        texts, array = dict(image.text), np.array(image)
    edit(array)
    said = json.loads(texts["latentpress"])
    said["request"] |= changes
    texts["latentpress"] = json.dumps(said)
    info = PngInfo()
    for name, text in texts.items():
        info.add_itxt(name, text)
    Image.fromarray(array).save(path, pnginfo=info)


def test_pictures_of_twenty_settings_are_proved_to_the_pixel(rendered, again):
    pictures = sorted([*rendered.out.glob("*.png"), rendered.refined])
    assert len({pixel_sha256(pixels(path)) for path in pictures}) == len(pictures) == 20
    code, out, err = again(*pictures, "--threads", 1)
    assert (code, err) == (0, "")
    assert sorted(out.splitlines()) == [f"{path}: equal to the pixel" for path in pictures]


def test_gradients_are_computed_again_by_what_computed_them(rendered, again, tmp_path):
    """Pictures of before engines did, which name nothing, are torch's: they stay done, and are proved to the pixel."""
    with Image.open(rendered.picture("losses")) as image:
        assert json.loads(image.text["latentpress"])["gradient"] == "cpu"
    one = "{id: one, prompt: a mouse, steps: 3, size: 64x64, loss: {name: canny, scale: 20, every: 1}}"
    manifest = tmp_path / "one.yaml"
    manifest.write_text(f"version: 1\nmodel: {rendered.folder / 'bundle'}\njobs: [{one}]\noutput: '{{id}}.png'\n")
    folder = OutputFolder(manifest, tmp_path / "out", cache=rendered.folder / "cache")
    assert folder.render(Settings(batch_rows=8, threads=1, gradient="torch")).summary.done == 1
    path = folder.path / "one.png"
    with Image.open(path) as image:
        assert "gradient" not in json.loads(image.text["latentpress"])
    with Ledger(ledger_path(folder.path)) as ledger:
        assert ledger.image("one.png").origin.gradient == "torch-cpu"
    assert folder.render(Settings(batch_rows=8, threads=1)).summary.skipped == 1
    assert again(path, "--threads", 1) == (0, f"{path}: equal to the pixel\n", "")
    _, out, _ = again(path, "--threads", 1, "--engine", "cpu")
    assert "gradients of its losses computed elsewhere: on torch then, cpu now" in out


def test_one_alone_is_written_where_it_is_asked_for(own, again, tmp_path):
    own.picture("karras").rename(tmp_path / "renamed.png")
    shutil.rmtree(own.out)  # nothing but the picture is left
    bundle = ("--model", own.folder / "bundle")
    code, out, _ = again(tmp_path / "renamed.png", *bundle, "-o", tmp_path / "new.png", "--json")
    assert code == 0
    [said] = json.loads(out)["pictures"]
    assert (said["state"], said["reasons"]) == ("equal", [])
    assert (tmp_path / "new.png").read_bytes() == (tmp_path / "renamed.png").read_bytes(), "its metadata too"
    assert said["pixel_sha256"] == pixel_sha256(pixels(tmp_path / "new.png"))
    code, _, err = again(tmp_path / "renamed.png", *bundle, "-o", tmp_path / "new.png")
    assert code == 2
    assert "nothing is overwritten" in err


def test_what_is_not_found_is_named_with_the_option_that_gives_it(own, again, tmp_path, assets):
    lone = [shutil.copy(own.picture(name), tmp_path) for name in ("masked", "a1111")]
    code, out, err = again(*lone)
    assert (code, out) == (2, "")
    assert err.count("name its folder with --model BUNDLE") == 2
    assert err.count("name its file with --input FILE") == 2
    code, _, err = again(*lone, "--model", assets / "bundle", "--input", own.folder / "mask.png")
    assert code == 2
    assert "init_image with sha256" in err
    assert "mask_image" not in err
    assert "name its file with --concept '<mine>=FILE'" in err
    inputs = [argument for name in ("photo", "mask") for argument in ("--input", own.folder / f"{name}.png")]
    concept = ("--concept", f"<mine>={own.folder / 'mine.bin'}")
    code, out, err = again(*lone, "--model", assets / "bundle", *inputs, *concept)
    assert (code, out.count("equal to the pixel"), err) == (0, 2, "")
    code, out, err = again(*lone, "--manifest", own.manifest)
    assert (code, out.count("equal to the pixel"), err) == (0, 2, "")


def differs(again, path, *arguments):
    """What is said of a picture that differs."""
    code, out, err = again(path, *arguments)
    assert (code, err) == (1, "")
    assert out.startswith(f"{path}: differs: ")
    assert "nothing that is known" not in out
    return out


def test_another_export_is_named_and_the_part_that_differs(own, again, assets):
    (own.folder / "bundle").unlink()
    shutil.copytree(assets / "bundle", own.folder / "bundle")
    info = json.loads((own.folder / "bundle/bundle.json").read_text())
    info["scheduler"]["beta_end"] *= 1.5
    info["content"] = {}  # to be computed
    (own.folder / "bundle/bundle.json").write_text(json.dumps(info))
    shutil.rmtree(own.folder / "cache/derived")
    said = differs(again, own.picture("karras"))
    assert "; bundle 'checkpoint' differs in settings: its content was " in said
    assert "another export of the same source" in said
    assert said.count(";") == 1
    shutil.rmtree(own.out / ".latentpress")
    said = differs(again, own.picture("karras"), "--model", own.folder / "bundle")
    assert "; bundle 'checkpoint' differs: its content was " in said, "its parts were in the ledger"


def test_another_vector_under_the_same_token_is_named(own, again):
    torch.save({"<mine>": torch.linspace(0.4, -0.4, 64)}, own.folder / "mine.bin")
    assert again(own.picture("named"))[0] == 0, "the bundle that has the old one is in the cache"
    shutil.rmtree(own.folder / "cache/derived")
    said = differs(again, own.picture("named"))
    assert "; concept <mine> differs: the sha256 of its vectors was " in said
    assert said.count(";") == 1


def test_an_edited_given_picture_is_named(own, again):
    photo = np.array(Image.open(own.folder / "photo.png"))
    Image.fromarray(255 - photo).save(own.folder / "photo.png")
    said = differs(again, own.picture("masked"))
    assert f"; init_image {own.folder / 'photo.png'} differs: its sha256 was " in said
    assert "mask_image" not in said
    assert said.count(";") == 1


def test_a_retouched_picture_is_named_and_proved_as_it_was(own, again):
    path, before = own.picture("euler_a"), pixels(own.picture("euler_a"))

    def edit(image):
        image[10:20, 5:10] ^= 128

    resaved(path, edit)
    said = differs(again, path)
    expected = f"{psnr(pixels(path), before):.1f} dB, 50 of 4,096 pixels"
    assert said == f"{path}: differs: {expected}; the picture was retouched: as it was saved it is equal to the pixel\n"


def test_edited_metadata_is_named(own, again):
    resaved(own.picture("eta"))
    assert again(own.picture("eta"))[0] == 0, "saved by another program it is the same picture"
    resaved(own.picture("eta"), seed=8)
    said = differs(again, own.picture("eta"))
    assert "; its metadata was edited: it names job " in said
    assert said.count(";") == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"steps": 0}, "its metadata cannot be rendered: steps is '0'; it must be"),
        ({"width": 10**9}, "its metadata cannot be rendered: size is 1000000000x64"),
        ({"prompt": "<other>"}, "its metadata cannot be rendered: <other> in the prompt looks like a concept"),
        ({"prompt": None}, "its metadata is damaged (KeyError('prompt'))"),
        ({"losses": [3]}, "its metadata is damaged"),
        ({"later": 3}, "its metadata has 'later'; use the latentpress that made it"),
        ({"seed": -1}, "its metadata is damaged"),
        ({"init_image": ["x"]}, "init_image with sha256"),
    ],
)
def test_metadata_that_asks_for_nonsense_is_a_sentence(changes, says, own, again):
    resaved(own.picture("eta"), **changes)
    code, out, err = again(own.picture("eta"))
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1


def test_what_says_nothing_and_an_unknown_engine_are_sentences(own, again):
    code, out, err = again(own.folder / "photo.png", own.picture("karras"), own.folder / "none.png", own.manifest)
    assert code == 2
    assert out == f"{own.picture('karras')}: equal to the pixel\n"
    assert "photo.png: does not say how it was made" in err
    assert "none.png: cannot be read" in err
    assert "m.yaml: no whole picture" in err
    assert len(err.splitlines()) == 3
    assert again(own.picture("karras"), "--engine", "abacus")[0] == 2
    code, _, err = again(own.picture("karras"), "--engine", "tensorrt-rtx")
    assert code == 3
    assert err.startswith(f"{own.picture('karras')}: ")


@pytest.mark.skipif(not __import__("importlib.util").util.find_spec("openvino"), reason="OpenVINO is not installed")
def test_the_engine_is_the_pictures_own(own, again):
    job = "version: 1\nmodel: bundle\ndefaults: {prompt: a mouse, steps: 3, size: 64x64}\noutput: '{seed}.png'\n"
    (own.folder / "one.yaml").write_text(job)
    out = own.folder / "openvino"
    OutputFolder(own.folder / "one.yaml", out).render(Settings("openvino", batch_rows=2, threads=1))
    assert again(out / "0.png", "--threads", 1) == (0, f"{out / '0.png'}: equal to the pixel\n", "")
    code, said, _ = again(out / "0.png", "--engine", "cpu")
    assert "another engine: openvino then, cpu now" in said
    assert code == ("differs" in said)


def test_rows_that_were_fixed_are_fixed_again(own, again, monkeypatch, assets):
    def opened(bundle, component, choice, threads=None):
        session = open_session(bundle, component, choice, 1)
        return Counting(session) if component == "unet" else session

    monkeypatch.setattr(models, "open_session", opened)
    (own.folder / "bundle").unlink()
    shutil.copytree(assets / "bundle", own.folder / "bundle")  # row tests are recorded in it
    (own.folder / "m.yaml").write_text(
        "version: 1\nmodel: bundle\ndefaults: {prompt: a mouse, steps: 2, size: 64x64}\n"
        "matrix: {seed: 1..3}\noutput: '{seed}.png'\n"
    )
    for name, strict in (("fixed", True), ("loose", False)):
        out = own.folder / name
        OutputFolder(own.folder / "m.yaml", out).render(Settings(batch_rows=4, strict=strict))
    path = own.folder / "fixed/2.png"
    assert json.loads(Image.open(path).text["latentpress"])["rows"] == "4"
    assert again(path)[:2] == (0, f"{path}: equal to the pixel\n")
    # Without --strict it shares no call here, and this engine's rows move.
    code, out, err = again(own.folder / "loose/2.png")
    assert code == 1
    assert "; rows unfixed: " in out
    assert "warning: on cpu the bits of a row of unet depend on its batch" in err
