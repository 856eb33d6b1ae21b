"""Masks at the size of pictures and latents: by loops over pixels, by diffusers' own processor; the rules they change by."""

import hashlib

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from latentpress.errors import UsageError
from latentpress.runtime.pictures.images import ImageEncoder
from latentpress.runtime.pictures.masks import latents_of, mask_facts, mask_of
from latentpress.runtime.request import ImageFile, RenderRequest
from latentpress.runtime.sampling.noise import NoiseSource

RNG = np.random.default_rng(11)


@pytest.fixture
def given(tmp_path):
    """given(array) is the file of a picture of these pixels."""

    def save(array, name=None):
        path = tmp_path / f"{name or hashlib.sha256(array.tobytes()).hexdigest()[:8]}.png"
        Image.fromarray(array).save(path)
        return ImageFile(hashlib.sha256(path.read_bytes()).hexdigest(), path)

    return save


def thin(height=80, width=72):
    """The issue's bar: 7 pixels wide, on no latent's upper left pixel."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, 25:32] = 255
    return mask


def dots():
    mask = np.zeros((80, 72), np.uint8)
    mask[9:16, 9:16] = mask[33:40, 41:48] = 255
    return mask


def test_a_latent_is_masked_where_any_of_its_pixels_is(given):
    for mask, chosen in ((thin(), {(y, 3) for y in range(10)}), (dots(), {(1, 1), (4, 5)})):
        found = latents_of(mask_of(given(mask), 80, 72, "shown"), 8, "shown")
        assert found.shape == (10, 9)
        assert {(int(y), int(x)) for y, x in np.argwhere(found)} == chosen
        assert not latents_of(mask_of(given(mask), 80, 72, "diffusers"), 8, "diffusers").any()


@pytest.mark.parametrize("size", [(80, 72), (24, 40), (160, 216), (88, 64), (8, 8)])
def test_a_mask_of_another_size_loses_no_pixel(size, given):
    """By a loop: a pixel of the picture is masked where it and a white pixel of the mask overlap."""
    mask = (RNG.random((80, 72)) < 0.01).astype(np.uint8) * 255
    height, width = size
    expected = np.zeros(size, bool)
    for y, x in np.argwhere(mask):
        top, bottom = y * height // 80, -(-(y + 1) * height // 80)
        left, right = x * width // 72, -(-(x + 1) * width // 72)
        expected[top:bottom, left:right] = True
    found = mask_of(given(mask), height, width, "shown")
    assert np.array_equal(found, expected)
    latents = latents_of(found, 8, "shown")
    for y, x in np.ndindex(latents.shape):
        assert latents[y, x] == found[y * 8 : y * 8 + 8, x * 8 : x * 8 + 8].any()


@pytest.mark.parametrize("size", [(80, 72), (40, 48), (160, 160)])
def test_the_old_reading_is_that_of_diffusers(size, given):
    """Its own mask processor, and the nearest neighbour it goes to latents by."""
    processor = VaeImageProcessor(do_normalize=False, do_binarize=True, do_convert_grayscale=True)
    for array in (RNG.integers(0, 256, (80, 72, 3), np.uint8), thin(), np.dstack([dots()] * 3 + [thin()])):
        file = given(array)
        wanted = processor.preprocess(Image.open(file.path).convert("RGB"), *size)
        found = mask_of(file, *size, "diffusers")
        assert np.array_equal(found, wanted[0, 0].numpy() > 0.5)
        nearest = torch.nn.functional.interpolate(wanted, size=(size[0] // 8, size[1] // 8))
        assert np.array_equal(latents_of(found, 8, "diffusers"), nearest[0, 0].numpy() > 0.5)


def test_strokes_choose_every_latent_they_touch(given):
    """The issue's measurement, of straight strokes on 512x512, by brute force."""
    from PIL import ImageDraw

    for width in (2, 6):
        picture = Image.new("L", (512, 512))
        ends = [tuple(RNG.integers(0, 512, 2).tolist()) for _ in range(2)]
        ImageDraw.Draw(picture).line(ends, fill=255, width=width)
        pixels = np.asarray(picture)
        touched = {(int(y) // 8, int(x) // 8) for y, x in np.argwhere(pixels >= 128)}
        found = latents_of(mask_of(given(pixels), 512, 512, "shown"), 8, "shown")
        assert {(int(y), int(x)) for y, x in np.argwhere(found)} == touched


class Encoder:
    """A VAE encoder that keeps what it is given and gives zeros."""

    def run(self, inputs):
        self.sample = inputs["sample"][0]
        return {"moments": np.zeros((1, 8, self.sample.shape[1] // 8, self.sample.shape[2] // 8), np.float32)}


@pytest.mark.parametrize("size", [(80, 72), (64, 96)])
def test_an_inpainting_model_is_handed_no_grey_hole_that_its_mask_denies(size, given):
    encoder = Encoder()
    images = ImageEncoder(encoder, 1.0, 8)
    white = given(np.full((80, 72, 3), 255, np.uint8))
    for array in (thin(), dots(), (RNG.random((80, 72)) < 0.02).astype(np.uint8) * 255):
        request = RenderRequest("", 1, *size, "euler", 1, 1.0, init_image=white, mask_image=given(array))
        images.latents(request, NoiseSource(1), masked=True)
        grey = (encoder.sample == 0).all(0)
        assert (encoder.sample == 1).all(0).sum() == (~grey).sum()
        assert grey.any()
        holes = grey.reshape(size[0] // 8, 8, size[1] // 8, 8).any((1, 3))
        assert np.array_equal(images.mask(request)[0] > 0.5, holes)


RULES = {
    "aligned to latents": (lambda: np.kron(RNG.integers(0, 2, (10, 9)), np.ones((8, 8))).astype(np.uint8) * 255, ()),
    "thin": (thin, ("thin-mask",)),
    "16-bit, aligned": (
        lambda: np.kron(RNG.integers(1, 3, (10, 9)), np.ones((8, 8))).astype(np.uint16) * 32000,
        ("picture-modes",),
    ),
    "alpha, aligned": (
        lambda: np.dstack([np.full((80, 72, 3), 255), np.kron(np.eye(10, 9), np.ones((8, 8))) * 255]).astype(np.uint8),
        ("mask-alpha",),
    ),
    "alpha, all opaque": (lambda: np.full((80, 72, 4), 255, np.uint8), ()),
    "alpha, thin": (lambda: np.dstack([np.full((80, 72, 3), 255, np.uint8), thin()]), ("mask-alpha", "thin-mask")),
    "white": (lambda: np.full((80, 72), 255, np.uint8), ()),
    "black": (lambda: np.zeros((80, 72), np.uint8), ()),
}


@pytest.mark.parametrize("name", RULES)
def test_a_mask_is_touched_by_the_rules_that_change_it_and_by_no_other(name, given):
    make, rules = RULES[name]
    file = given(make())
    facts = mask_facts(file, 80, 72, 8, False)
    assert facts.rules == rules
    same = np.array_equal(
        *(latents_of(mask_of(file, 80, 72, reading), 8, reading) for reading in ("shown", "diffusers"))
    )
    assert same == (not rules)
    assert facts.chosen == {
        reading: latents_of(mask_of(file, 80, 72, reading), 8, reading).mean() for reading in ("shown", "diffusers")
    }


def test_a_resized_mask_touches_a_model_that_sees_its_pixels(given):
    """A dot that Lanczos' filter drops at half the size, in a latent that is chosen anyway."""
    mask = np.zeros((160, 144), np.uint8)
    mask[0:4, 0:4] = mask[11, 11] = 255
    file = given(mask)
    assert mask_facts(file, 80, 72, 8, False).rules == ()
    assert mask_facts(file, 80, 72, 8, True).rules == ("thin-mask",)


def test_a_mask_that_changed_since_is_refused(given):
    file = given(RNG.integers(0, 256, (80, 72), np.uint8), "mask")
    given(dots(), "mask")
    with pytest.raises(UsageError, match="changed since the manifest was planned"):
        mask_facts(file, 80, 72, 8, False)
