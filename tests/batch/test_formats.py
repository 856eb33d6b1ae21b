"""Pictures as PNG, WebP, JPEG and AVIF: the same texts in each, and what becomes of them in an output folder."""

import io
import json

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from latentpress.batch.pictures.chunks import claim_of
from latentpress.batch.pictures.containers import format_of, image_data_sha256, lossy, whole
from latentpress.batch.pictures.png import pixel_sha256
from latentpress.batch.proof.rebuild import rebuild
from latentpress.batch.proof.verify import verify
from latentpress.batch.render import Summary
from latentpress.errors import ManifestError
from published import SCHEMAS

# The ending, what else the manifest says, the format, whether every pixel is kept.
FORMATS = [
    (".png", "", "PNG", True),
    (".webp", "", "WEBP", True),
    (".webp", "quality: 80\n", "WEBP", False),
    (".jpg", "", "JPEG", False),
    (".jpeg", "quality: 60\n", "JPEG", False),
    (".avif", "", "AVIF", False),
]
TWO = 'defaults: {prompt: "a möuse & <line-art>\\n", steps: 3, size: 64x40}\nmatrix: {seed: 1..2}\n'
BODIES = {f"{suffix}{more.strip()}": TWO + f'output: "s/{{seed}}{suffix}"\n{more}' for suffix, more, _, _ in FORMATS}
LOSSY = [name for name, (*_, kept) in zip(BODIES, FORMATS, strict=True) if not kept]


class Nobody:
    """Renders nothing, and must not be asked to."""

    def open(self, bundle, requests):
        raise AssertionError("something is to be rendered")


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (40, 64, 3), np.uint8)


@pytest.fixture(params=list(zip(BODIES, FORMATS, strict=True)), ids=list(BODIES))
def made(request, go, new_executor, tmp_path):
    """(name, format, whether pixels are kept, the two files) of a folder in each format."""
    name, (suffix, _, kind, kept) = request.param
    assert go(BODIES[name], new_executor()) == Summary(2, 0, 0)
    return name, kind, kept, [tmp_path / f"out/s/{seed}{suffix}" for seed in (1, 2)]


def test_each_is_what_its_name_says_and_says_what_a_png_says(made, folder):
    name, kind, kept, paths = made
    for seed, path in enumerate(paths, 1):
        content = path.read_bytes()
        with Image.open(path) as picture:
            assert (picture.format, picture.size, picture.mode) == (kind, (64, 40), "RGB")
            assert np.array_equal(np.asarray(picture), noise(seed)) == kept
            exif = picture.getexif().get_ifd(0x8769).get(0x9286)
            packet = picture.info["xmp"].decode()
        assert (format_of(content), lossy(content), whole(content)) == (kind, not kept, True)
        claim = claim_of(content)
        job = folder(BODIES[name]).plan().jobs[seed - 1]
        assert (claim.job_hash, claim.data["version"]) == (job.job_hash, 1)
        Draft202012Validator(json.loads((SCHEMAS / "picture.json").read_text())).validate(claim.data)
        assert claim.data["pixel_sha256"] == pixel_sha256(noise(seed))
        assert claim.data["request"]["prompt"] == "a möuse & <line-art>\n"
        if kind != "PNG":
            assert claim.data["image_data_sha256"] == image_data_sha256(content)
            parameters = exif.removeprefix(b"UNICODE\0").decode("utf-16-be")
            assert parameters.startswith("a möuse & <line-art>\n\nNegative prompt: \nSteps: 3, Sampler: Euler, ")
        assert "digitalsourcetype/trainedAlgorithmicMedia<" in packet
        assert "<Iptc4xmpExt:AIPromptInformation>a möuse &amp; &lt;line-art&gt;\n</Iptc4xmpExt" in packet


def test_the_bytes_are_the_same_twice_and_the_second_render_has_nothing_to_do(made, folder, new_executor, tmp_path):
    name, _, _, paths = made
    assert folder(BODIES[name]).render(executor=Nobody()).summary == Summary(0, 2, 0)
    assert folder(BODIES[name], "again").render(executor=new_executor()).summary.done == 2
    for path in paths:
        assert (tmp_path / "again/s" / path.name).read_bytes() == path.read_bytes()


def test_they_are_verified_and_the_ledger_is_made_again(made, folder, tmp_path):
    name, _, _, paths = made
    out = tmp_path / "out"
    assert verify(out).right
    (out / ".latentpress/ledger.sqlite").unlink()
    assert sorted(rebuild(out).recorded) == [f"s/{path.name}" for path in paths]
    assert verify(out).right
    assert folder(BODIES[name]).render(executor=Nobody()).summary == Summary(0, 2, 0)


def test_damage_is_found_with_a_ledger_and_without(made, tmp_path):
    name, _, _, (one, two) = made
    out = tmp_path / "out"
    content = one.read_bytes()
    # Within the compressed picture, which an AVIF has at its end and a WebP before its texts.
    middle = content.index(b"VP8") + 2000 if name.startswith(".webp") else len(content) - 1000
    one.write_bytes(content[:middle] + bytes([content[middle] ^ 32]) + content[middle + 1 :])
    two.write_bytes(two.read_bytes()[:-700])
    assert [(flaw.output, flaw.state) for flaw in verify(out).flaws] == [(f"s/{p.name}", "torn") for p in (one, two)]
    (out / ".latentpress/ledger.sqlite").unlink()
    refused = rebuild(out).refused if claim_of(one.read_bytes()) or claim_of(two.read_bytes()) else {}
    assert not [path for path in (one, two) if claim_of(path.read_bytes()) and f"s/{path.name}" not in refused]


@pytest.mark.parametrize("name", LOSSY)
def test_what_another_program_saved_again_is_not_taken_for_ours(name, go, new_executor, tmp_path):
    go(BODIES[name], new_executor())
    (path,) = (tmp_path / "out/s").glob("1.*")
    with Image.open(path) as picture:
        info = {"xmp": picture.info["xmp"], "exif": picture.info["exif"]}
        comments = [data for kind, data in getattr(picture, "applist", []) if kind == "COM"]
        picture.save(path, picture.format, quality=70, **info, **({"comment": comments[0]} if comments else {}))
    assert claim_of(path.read_bytes()) is not None
    (tmp_path / "out/.latentpress/ledger.sqlite").unlink()
    assert list(rebuild(tmp_path / "out").refused) == [f"s/{path.name}"]


def test_another_format_is_made_of_pixels_that_are_there_and_of_no_others(folder, new_executor, tmp_path):
    out = tmp_path / "out"
    assert folder(BODIES[".png"]).render(executor=new_executor()).summary == Summary(2, 0, 0)
    # PNG to lossless WebP, and to JPEG: nothing is rendered. JPEG to AVIF: it is.
    for name, suffix in ((".webp", ".webp"), (".jpg", ".jpg")):
        made = folder(BODIES[name])
        assert made.status().counts["found"] == 2
        outcome = made.render(executor=Nobody())
        assert (outcome.summary, outcome.taken) == (Summary(0, 2, 0), 2)
        assert folder(BODIES[name], "fresh" + suffix).render(executor=new_executor()).summary.done == 2
        assert (out / f"s/1{suffix}").read_bytes() == (tmp_path / f"fresh{suffix}/s/1{suffix}").read_bytes()
    assert verify(out).right
    only = folder(BODIES[".jpg"], "jpegs")
    only.render(executor=new_executor())
    again = folder(BODIES[".avif"], "jpegs")
    assert again.status().counts["missing"] == 2
    assert again.render(executor=new_executor()).summary.done == 2


def test_long_texts_fit_into_a_jpeg(go, new_executor, tmp_path):
    prompt = "&é<" * 30_000
    go('defaults: {prompt: "' + prompt + '", size: 64x40, long_prompts: chunks}\noutput: "x.jpg"\n', new_executor())
    content = (tmp_path / "out/x.jpg").read_bytes()
    assert whole(content)
    assert claim_of(content).data["request"]["prompt"] == prompt
    with Image.open(io.BytesIO(content)) as picture:
        assert np.asarray(picture).shape == (40, 64, 3)


def test_a_quality_of_a_png_and_other_endings_are_refused(manifest):
    for body, says in (
        ('output: "{seed}.png"\nquality: 80\n', "quality is for pictures whose names end in .webp"),
        ('output: "{seed}.jpg"\nquality: 0\n', "quality is '0'; it must be a whole number from 1 to 100"),
        ('output: "{seed}.gif"\n', "does not end with .png, .webp, .jpg, .jpeg or .avif"),
    ):
        with pytest.raises(ManifestError, match=says):
            manifest("defaults: {prompt: x}\n" + body)


def test_a_png_says_how_its_colours_and_size_are_meant(go, new_executor, tmp_path):
    go(BODIES[".png"], new_executor())
    with Image.open(tmp_path / "out/s/1.png") as picture:
        assert picture.info["srgb"] == 0
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        assert json.loads(picture.info["latentpress"])["version"] == 1
