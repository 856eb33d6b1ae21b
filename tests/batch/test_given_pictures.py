"""What a plan makes of given pictures: hashes by the rules that touch them, backgrounds, readings, and warnings."""

import json
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from latentpress.batch.plan.identity import hash_job
from latentpress.batch.plan.plan import build_plan
from latentpress.errors import ManifestError
from latentpress.runtime.rules import Scene, rules_of

P = "defaults: {prompt: a mouse"
BOX = (slice(16, 48), slice(8, 40))  # whole latents


def box(dtype=np.uint8, inside=255, outside=0, shape=(64, 64)):
    pixels = np.full(shape, outside, dtype)
    pixels[BOX] = inside
    return pixels


def with_alpha(alpha, value=255):
    return np.dstack([np.full((64, 64, 3), value, np.uint8), alpha])


FILES = {
    "plain": np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8),
    "deep": np.random.default_rng(2).integers(0, 65536, (64, 64), np.uint16),
    "cut": np.dstack([box()] * 4),  # its hidden colour is black
    "opaque": with_alpha(np.full((64, 64), 255, np.uint8)),
    "mask": box(),
    "deepmask": box(np.uint16, 65535, 13107),
    "alphamask": with_alpha(box()),
    "thin": np.pad(np.full((64, 7), 255, np.uint8), ((0, 0), (25, 32))),
    "black": np.zeros((64, 64), np.uint8),
    "white": np.full((64, 64), 255, np.uint8),
    "wide": np.pad(np.full((32, 32), 255, np.uint8), ((0, 0), (0, 96))),
}


# A plain model's: nothing of it is about given pictures.
SCENE = Scene(SimpleNamespace(scheduler={}, requires_aesthetics_score=False), {})


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "in").mkdir()
    for name, pixels in FILES.items():
        Image.fromarray(pixels).save(tmp_path / f"in/{name}.png")


@pytest.fixture
def ruled(manifest, facts, pictures):
    """ruled(fields) is the plan of such a job where rules are known; they ask nothing of the bundle."""
    facts = replace(facts, rules=partial(rules_of, scene=SCENE))

    def plan(fields, **changes):
        return build_plan(manifest(P + fields + "}\n"), {"demo": replace(facts, **changes)}, {}, lambda: 7)

    return plan


TOUCHED = {
    "init_image: in/plain.png": [],
    "init_image: in/opaque.png": [],
    "init_image: in/deep.png": ["picture-modes"],
    "init_image: in/cut.png": ["picture-alpha"],
    "init_image: in/cut.png, picture_reading: diffusers": [],
    "init_image: in/plain.png, mask_image: in/mask.png": [],
    "init_image: in/plain.png, mask_image: in/opaque.png": [],
    "init_image: in/plain.png, mask_image: in/deepmask.png": ["picture-modes"],
    "init_image: in/plain.png, mask_image: in/alphamask.png": ["mask-alpha"],
    "init_image: in/plain.png, mask_image: in/thin.png": ["thin-mask"],
    "init_image: in/plain.png, mask_image: in/thin.png, picture_reading: diffusers": [],
    "init_image: in/deep.png, mask_image: in/thin.png": ["picture-modes", "thin-mask"],
}


@pytest.mark.parametrize("fields", TOUCHED)
def test_a_job_is_touched_by_what_is_read_otherwise_and_by_no_other_rule(fields, ruled, facts):
    """A touched job has another hash than the same request had without rules; an untouched one keeps it."""
    plan = ruled(", " + fields)
    (job,) = plan.jobs
    # Read back from the plan's table, as a resumed run has it.
    assert [rule.name for rule in rules_of(job.request, SCENE)] == TOUCHED[fields]
    assert (job.job_hash == hash_job(job.request, facts)) == (not TOUCHED[fields])
    (names, stored) = plan.table.one("SELECT rules, request FROM drafts")
    assert names.split() == TOUCHED[fields]
    assert "otherwise" in stored or not TOUCHED[fields]


def test_what_makes_no_difference_leaves_the_hash(ruled):
    def hash_of(fields):
        return ruled(", " + fields).jobs[0].job_hash

    plain, cut = "init_image: in/plain.png", "init_image: in/cut.png"
    said = ", background: red, picture_reading: diffusers"
    assert hash_of(plain + said) == hash_of(plain)
    assert hash_of(f"{plain}, mask_image: in/mask.png{said}") == hash_of(f"{plain}, mask_image: in/mask.png")
    assert hash_of("seed: 0" + said) == hash_of("seed: 0")
    assert hash_of(cut + ", background: white") == hash_of(cut) == hash_of(cut + ", background: '#FFF'")
    assert hash_of(cut + ", background: red, picture_reading: diffusers") == hash_of(
        cut + ", picture_reading: diffusers"
    )
    assert len({hash_of(cut), hash_of(cut + ", background: red"), hash_of(cut + ", picture_reading: diffusers")}) == 3


def test_a_background_is_in_the_request_and_its_name_in_labels(manifest, facts, pictures):
    body = P + ", init_image: in/cut.png}\nmatrix: {background: [red, '#00ff00', white]}\noutput: '{background}.png'\n"
    plan = build_plan(manifest(body), {"demo": facts}, {}, lambda: 7)
    assert [job.request.background for job in plan.jobs] == ["#ff0000", "#00ff00", "#ffffff"]
    assert [str(job.output) for job in plan.jobs] == ["red.png", "#00ff00.png", "white.png"]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            "background: wite",
            "m.yaml:4:41: background is 'wite'; it must be an opaque colour such as white or '#ffffff'",
        ),
        ("background: '#ff000080'", "background is '#ff000080'; it must be an opaque colour"),
        (
            "background: none",
            "background is 'none'; it must be an opaque colour such as white or '#ffffff', in quotes, for #",
        ),
        ("background: [1, 2, 3]", "background is a list; it must be text"),
        ("picture_reading: difusers", "picture_reading is 'difusers'; did you mean 'diffusers'?"),
    ],
)
def test_mistakes_are_named_where_they_stand(fields, problem, manifest):
    with pytest.raises(ManifestError) as caught:
        manifest(P + f", {fields}}}\n")
    assert problem in caught.value.problems[0]


IN = "init_image: in/plain.png, mask_image: in/"
WARNED = {
    "init_image: in/plain.png": [],
    IN + "mask.png": [],
    "init_image: in/deep.png": ["4:47: warning: init_image in/deep.png is 16-bit grey and is brought to 8-bit RGB"],
    "init_image: in/cut.png": ["init_image in/cut.png is transparent in places, where it is laid on #ffffff"],
    "init_image: in/cut.png, background: red": ["where it is laid on #ff0000"],
    "init_image: in/cut.png, picture_reading: diffusers": [
        "init_image in/cut.png is read as by diffusers, which clips"
    ],
    IN + "alphamask.png": [
        "4:73: warning: mask_image in/alphamask.png is transparent in places, so what is opaque is redrawn"
    ],
    IN + "black.png": [
        "mask_image in/black.png is black everywhere, or too dark to count, so nothing is redrawn; what is to change must "
        "be white"
    ],
    IN + "white.png": ["mask_image in/white.png is white in every latent, so all of the picture is redrawn"],
    IN + "thin.png, picture_reading: diffusers": [
        "mask_image in/thin.png chooses no latent as diffusers reads it, so nothing is redrawn"
    ],
    IN + "wide.png": ["mask_image in/wide.png is 128x32 and init_image 64x64, so it is stretched; give both one shape"],
}


@pytest.mark.parametrize("fields", WARNED)
def test_a_plan_warns_of_what_people_should_know(fields, ruled):
    warnings = ruled(f", n: 3, {fields}").warnings
    assert len(warnings) == len(WARNED[fields])
    for found, expected in zip(warnings, WARNED[fields], strict=True):
        assert found.startswith("m.yaml:4:")
        assert expected in found


def test_an_inpainting_model_may_be_given_a_white_mask(ruled):
    assert not ruled(", " + IN + "white.png", inpainting=True).warnings


def test_a_picture_cut_short_is_named_where_it_stands(manifest, pictures, tmp_path):
    whole = (tmp_path / "in/alphamask.png").read_bytes()
    (tmp_path / "in/short.png").write_bytes(whole[: len(whole) // 2])
    for field in ("init_image", "mask_image"):
        with pytest.raises(ManifestError) as caught:
            manifest(P + f", {field}: in/short.png}}\n")
        assert f"{field} in/short.png is not a picture that can be read (" in caught.value.problems[0]
        assert " at 0x" not in caught.value.problems[0]


def test_the_metadata_say_how_pictures_were_read(go, new_executor, pictures, tmp_path):
    jobs = "jobs:\n  - {background: red}\n  - {picture_reading: diffusers}\noutput: '{index}.png'\n"
    body = P + ", init_image: in/cut.png}\n" + jobs
    assert go(body, new_executor()).done == 2
    first, second = (Image.open(tmp_path / f"out/{name}.png").text for name in (1, 2))
    assert "Background: #ff0000" in first["parameters"]
    assert json.loads(first["latentpress"])["request"]["background"] == "#ff0000"
    assert "Picture reading: diffusers" in second["parameters"]
