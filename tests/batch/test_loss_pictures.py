"""Pictures that a loss compares with, and masks: what is in them decides hash and pixels, where they lie does not."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from latentpress.batch.folder import OutputFolder
from latentpress.batch.plan.job import request_data, request_from, stored
from latentpress.batch.plan.plan import build_plan
from latentpress.errors import ManifestError
from latentpress.manifest.manifest import read_manifest
from latentpress.runtime.guidance.context import Moment
from latentpress.runtime.guidance.gradient import LossGuidance
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import ImageFile, LossSpec

BODY = "defaults: {prompt: a mouse, loss: {name: reference, picture: %s%s}}\n"


@pytest.fixture
def photo(tmp_path):
    ramp = np.linspace(0, 255, 40, dtype=np.uint8)
    Image.fromarray(
        np.stack([np.tile(ramp, (40, 1)), np.full((40, 40), 30, np.uint8), np.tile(ramp[:, None], 40)], 2)
    ).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def planned(manifest, facts):
    def plan(picture, more=""):
        (job,) = build_plan(manifest(BODY % (picture, more)), {"demo": facts}, {}, lambda: 7).jobs
        return job

    return plan


def test_the_hash_is_of_the_content_and_not_of_the_place(planned, photo, tmp_path):
    job = planned("photo.png")
    (tmp_path / "in").mkdir()
    shutil.copy(photo, tmp_path / "in/other.png")
    assert planned("in/other.png").job_hash == job.job_hash
    assert planned("photo.png", ", metric: l1").job_hash != job.job_hash
    Image.fromarray(255 - np.asarray(Image.open(photo))).save(tmp_path / "in/other.png")
    assert planned("in/other.png").job_hash != job.job_hash
    assert request_data(job.request)["losses"][0]["files"] == {"picture": job.request.losses[0].files["picture"].sha256}


def test_a_request_comes_back_from_the_plans_table_with_its_path(planned, photo):
    request = planned("photo.png").request
    again = request_from(json.loads(json.dumps(stored(request, request_data(request)))))
    assert again == request
    assert again.losses[0].files["picture"].path == request.losses[0].files["picture"].path


def test_a_job_without_pictures_says_nothing_of_them(manifest, facts):
    (job,) = build_plan(manifest("defaults: {prompt: a, loss: symmetry}\n"), {"demo": facts}, {}, lambda: 7).jobs
    assert request_data(job.request)["losses"] == [
        {"name": "symmetry", "scale": 200.0, "every": 5, "start": 0.0, "stop": 1.0, "params": {}}
    ]


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        ("reference", "loss reference has no picture; write {name: reference, picture: photo.png}"),
        ("{name: reference, picture: none}", "loss reference has no picture"),
        ("{name: reference, picture: gone.png}", "picture of loss reference"),
        ("{name: reference, pictur: photo.png}", "loss reference has no picture"),
        (
            "{name: reference, picture: photo.png, pictur: a}",
            "unknown key 'pictur' in loss reference; did you mean 'picture'?",
        ),
        ("{name: tv, mask: gone.png}", "mask of loss tv"),
        ("{name: tv, mask: black.png}", "black.png is black all over; make it white where the loss shall act"),
        ("{name: tv, mask: 3.5}", "mask of loss tv"),
        ("{name: tv, picture: photo.png}", "unknown key 'picture' in loss tv"),
    ],
)
def test_what_is_missing_is_said(loss, says, manifest, photo, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "black.png")
    with pytest.raises(ManifestError) as caught:
        manifest(f"defaults: {{prompt: a, loss: {loss}}}\n")
    assert says in "\n".join(caught.value.problems)


def test_a_picture_is_drawn_to_the_reference_and_says_so(bundle, photo, tmp_path):
    text = (
        f"version: 1\nmodel: {bundle.path}\ndefaults: {{prompt: a mouse, seed: 3, size: 64x64, steps: 8, sampler: euler}}\n"
        "matrix: {loss: [none, {name: reference, picture: photo.png, scale: 400, every: 1}]}\noutput: '{loss}.png'\n"
    )
    (tmp_path / "m.yaml").write_text(text)
    folder = OutputFolder(read_manifest(tmp_path / "m.yaml"), tmp_path / "out")
    folder.render()
    wanted = np.asarray(Image.open(photo).resize((64, 64), Image.Resampling.LANCZOS)) / 255
    away = {
        name: np.mean((np.asarray(Image.open(tmp_path / f"out/{name}.png")) / 255 - wanted) ** 2)
        for name in ("none", "reference")
    }
    assert away["reference"] < 0.9 * away["none"]
    with Image.open(tmp_path / "out/reference.png") as picture:
        assert "picture=" in picture.text["parameters"]


def test_a_file_that_changed_after_the_plan_fails_its_own_job(bundle, planned, photo):
    Image.new("RGB", (9, 9), "#123456").save(photo)  # none that another test has had read
    request = planned("photo.png", ", every: 1").request
    plain = [LossSpec("tv", 1.0, 1)]
    photo.write_bytes(b"something else")
    work = [("changed", request), ("other", type(request)(**{**vars(request), "losses": tuple(plain)}))]
    found = {one.key: one for one in Renderer(bundle, batch_rows=4).render(work)}
    assert found["changed"].cause == "input"
    assert "changed since the manifest was planned" in found["changed"].error
    assert found["other"].image is not None


def test_a_mask_belongs_to_any_loss_and_to_the_hash(manifest, facts, photo):
    def job(loss):
        (found,) = build_plan(manifest(f"defaults: {{prompt: a, loss: {loss}}}\n"), {"demo": facts}, {}, lambda: 7).jobs
        return found

    for name in ("tv", "latents", "reference, picture: photo.png"):
        bare, masked = job(f"{{name: {name}}}"), job(f"{{name: {name}, mask: photo.png}}")
        assert masked.job_hash != bare.job_hash == job(f"{{name: {name}, mask: none}}").job_hash
        again = request_from(json.loads(json.dumps(stored(masked.request, request_data(masked.request)))))
        assert again.losses[0].files["mask"] == masked.request.losses[0].files["mask"]


def half(path, size=16):
    """A mask whose left half is white."""
    Image.fromarray(np.repeat([[255] * (size // 2) + [0] * (size // 2)], size, 0).astype(np.uint8)).save(path)
    return ImageFile(hashlib.sha256(path.read_bytes()).hexdigest(), path)


@pytest.mark.parametrize(
    ("name", "params"), [("brightness", {"target": 0.7}), ("hue", {"target": 30.0}), ("sobel", {})]
)
def test_under_a_mask_the_gradient_is_what_it_is_without_and_elsewhere_none(name, params, tmp_path):
    """The decoder here is one that makes each pixel of one latent, so that nothing leaks."""
    guidance = LossGuidance(lambda x0: x0[:, :3].sigmoid().repeat_interleave(8, 2).repeat_interleave(8, 3))
    x0 = np.random.default_rng(1).normal(size=(4, 4, 4)).astype(np.float32)
    asked = LossSpec(name, 3.0, params=params)
    masked = replace(asked, files={"mask": half(tmp_path / "half.png")})
    everywhere, here = (guidance.gradient(x0, [one], Moment(1, 0, 4)) for one in (asked, masked))
    everywhere, here = (found[0] if isinstance(found, tuple) else found for found in (everywhere, here))
    np.testing.assert_array_equal(here[:3, :, 2:], 0)
    assert np.abs(here[:3, :, :2]).min() > 0 or name == "sobel"
    np.testing.assert_allclose(here[:, :, :2], everywhere[:, :, :2], rtol=1e-5)


def test_a_loss_on_the_latents_has_the_masks_mean_under_each(tmp_path):
    guidance = LossGuidance(lambda x0: x0[:, :3].repeat_interleave(8, 2).repeat_interleave(8, 3))
    x0 = np.random.default_rng(1).normal(size=(4, 2, 2)).astype(np.float32)
    Image.fromarray(np.array([[255, 0], [51, 255]], np.uint8)).save(tmp_path / "m.png")
    file = ImageFile(hashlib.sha256((tmp_path / "m.png").read_bytes()).hexdigest(), tmp_path / "m.png")
    asked = LossSpec("latents", 1.0, params={"statistic": "rms", "target": 1.0})
    found = [guidance.gradient(x0, [one], Moment(1, 0, 4)) for one in (asked, replace(asked, files={"mask": file}))]
    everywhere, here = (one[0] if isinstance(one, tuple) else one for one in found)
    np.testing.assert_allclose(here, everywhere * np.array([[1, 0], [0.2, 1]], np.float32), rtol=1e-5)


def test_a_masked_loss_guides_a_picture_and_says_so(bundle, tmp_path):
    half(tmp_path / "half.png")
    text = (
        f"version: 1\nmodel: {bundle.path}\ndefaults: {{prompt: a mouse, seed: 3, size: 64x64, steps: 4, sampler: euler}}\n"
        "matrix:\n  loss:\n    - none\n    - {name: channel, scale: 400, every: 1}\n"
        "    - {name: channel, scale: 400, every: 1, mask: half.png}\noutput: '{index}.png'\n"
    )
    (tmp_path / "m.yaml").write_text(text)
    OutputFolder(read_manifest(tmp_path / "m.yaml"), tmp_path / "out").render()
    plain, everywhere, here = (np.asarray(Image.open(tmp_path / f"out/{one}.png"), np.float64) for one in (1, 2, 3))
    assert min(np.abs(here - plain).max(), np.abs(here - everywhere).max()) > 0
    with Image.open(tmp_path / "out/3.png") as picture:
        assert "mask=" in picture.text["parameters"]
