"""Numbers of one picture: beside scikit-image, Pillow and formulas by hand."""

import colorsys

import numpy as np
import pytest
from scipy import ndimage
from skimage.color import rgb2hsv
from skimage.metrics import structural_similarity

from latentpress.measures.distance import MOST, SIDE, distances, pixel_distances, small, structure_distances
from latentpress.measures.picture import MEASURES, colourfulness, contrast, luma, saturation, sharpness

RANDOM = np.random.default_rng(7)
NOISE = RANDOM.integers(0, 256, (48, 80, 3), np.uint8)


def flat(*colour):
    return np.full((40, 56, 3), colour, np.uint8)


def halves(left, right):
    return np.concatenate([flat(*left), flat(*right)], axis=1)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (flat(0, 0, 0), (0, 0, 0, 0, 0)),
        (flat(255, 255, 255), (1, 0, 0, 0, 0)),
        # 0.3 sqrt(255^2 + 127.5^2): of one colour there is no deviation.
        (flat(255, 0, 0), (0.299, 0, 1, 0.3 * (255**2 + 127.5**2) ** 0.5, 0)),
        # Two columns of 112 have a Laplacian, of 255 and -255; edges are mirrored.
        (halves((0, 0, 0), (255, 255, 255)), (0.5, 0.5, 0, 0, 2 / 112 * 255**2)),
    ],
)
def test_pictures_whose_numbers_are_known(picture, expected):
    assert [measure(picture) for measure in MEASURES.values()] == pytest.approx(expected, abs=1e-9)


def test_noise_beside_other_implementations():
    grey = NOISE.astype(float) @ [0.299, 0.587, 0.114]
    assert luma(NOISE) == pytest.approx(sum(grey.ravel()) / grey.size / 255)
    assert contrast(NOISE) == pytest.approx((np.mean(grey**2) - np.mean(grey) ** 2) ** 0.5 / 255)
    assert saturation(NOISE) == pytest.approx(rgb2hsv(NOISE)[..., 1].mean())
    pixels = [colorsys.rgb_to_hsv(*(pixel / 255))[1] for pixel in NOISE.reshape(-1, 3)]
    assert saturation(NOISE) == pytest.approx(sum(pixels) / len(pixels))
    assert sharpness(NOISE) == pytest.approx(ndimage.laplace(grey, mode="mirror").var())
    red, green, blue = (NOISE[..., channel].astype(float) for channel in range(3))
    rg, yb = red - green, 0.5 * (red + green) - blue
    by_hand = (rg.var() + yb.var()) ** 0.5 + 0.3 * (rg.mean() ** 2 + yb.mean() ** 2) ** 0.5
    assert colourfulness(NOISE) == pytest.approx(by_hand)


def test_what_is_blurred_is_less_sharp():
    blurred = ndimage.uniform_filter(NOISE, (3, 3, 1))
    assert sharpness(blurred) < sharpness(NOISE) / 5


def test_distances_beside_other_implementations():
    pictures = [ndimage.uniform_filter(RANDOM.integers(0, 256, (SIDE, SIDE, 3), np.uint8), (9, 9, 1)) for _ in range(5)]
    pairs = [(a, b) for at, a in enumerate(pictures) for b in pictures[at + 1 :]]
    by_hand = [np.sqrt(np.mean((a / 255.0 - b / 255.0) ** 2)) for a, b in pairs]
    np.testing.assert_allclose(pixel_distances(pictures), by_hand, atol=1e-12)
    # OpenCV rounds grey to whole numbers; scikit-image is given the same.
    greys = [[np.round(one @ [0.299, 0.587, 0.114]).astype(np.uint8) for one in pair] for pair in pairs]
    theirs = [1 - structural_similarity(a, b, data_range=255) for a, b in greys]
    # A grey that OpenCV's fixed point rounds the other way moves a pair by less than this.
    np.testing.assert_allclose(structure_distances(pictures), theirs, atol=1e-3)
    found = distances(pictures)
    assert (found.pairs, found.pixels) == (10, pytest.approx(np.mean(by_hand)))
    assert found.structure == pytest.approx(np.mean(theirs), abs=1e-3)


def test_equal_pictures_are_at_nought_and_black_is_one_from_white():
    noise = small(NOISE)
    assert list(pixel_distances([noise, noise])) == [0]
    assert structure_distances([noise, noise])[0] == pytest.approx(0, abs=1e-12)
    ends = [small(flat(0, 0, 0)), small(flat(255, 255, 255))]
    assert list(pixel_distances(ends)) == [1]
    assert distances(ends[:1]) is None
    assert distances([]) is None


def test_of_a_large_group_a_hundred_pictures_stand_for_all():
    many = [np.full((SIDE, SIDE, 3), number % 256, np.uint8) for number in range(2 * MOST)]
    found = distances(many)
    assert found.pairs == MOST * (MOST - 1) // 2
    assert found.pixels == pytest.approx(np.mean(pixel_distances(many)), rel=0.05)
