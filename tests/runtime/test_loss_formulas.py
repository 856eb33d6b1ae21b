"""Each built-in loss for itself: its value by numpy, OpenCV or colorsys, its gradient, its range, and flat images."""

import colorsys
import re

import cv2
import numpy as np
import pytest
import torch

from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.context import Context
from tiny_clip import tiny_clip

LUMA = np.array([0.299, 0.587, 0.114])
IMAGES = torch.rand((3, 3, 32, 48), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def encode(images):
    """What stands for the VAE's encoder here: features at two resolutions."""
    return [images, torch.nn.functional.avg_pool2d(images, 4)]


def value(name, images, **params):
    """The loss with its defaults or `params`, of each of `images`; as latents it sees a piece of the image."""
    loss = LOSSES[name]
    latents = images[:, :1, ::8, ::8].expand(-1, 4, -1, -1)
    context = Context(latents, 1, 3, torch.Generator().manual_seed(5), encode)
    pictures = {one: torch.full_like(images[:1], 0.25) for one in loss.pictures}
    pictures |= {one: tiny_clip() for one in loss.folders}
    return loss(images, {**loss.params(**params).complete(), **pictures}, context)


def y(image):
    return np.tensordot(LUMA, image, 1)


def steepness(plane):
    gx, gy = (cv2.Sobel(plane, cv2.CV_64F, *order, ksize=3)[1:-1, 1:-1] / 4 for order in ((1, 0), (0, 1)))
    return np.sqrt(gx**2 + gy**2 + 1e-6)


def blurred(plane):
    return cv2.GaussianBlur(plane, (3, 3), 0.3, borderType=cv2.BORDER_REPLICATE)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def fine_share(image, cutoff=0.1):
    """By a direct sum over cosines and sines, in place of a Fourier transform."""
    light = y(image) - y(image).mean()
    height, width = light.shape
    rows, columns = (np.exp(-2j * np.pi * np.outer(np.arange(size), np.arange(size)) / size) for size in light.shape)
    energy = np.abs(rows @ light @ columns) ** 2
    down, across = (np.minimum(np.arange(size), size - np.arange(size)) / size for size in (height, width))
    return energy[np.hypot(down[:, None], across) >= cutoff].sum() / energy.sum()


def features(image):
    """As `encode`, by numpy."""
    return [image, image.reshape(3, image.shape[1] // 4, 4, -1, 4).mean((2, 4))]


def relative(found, wanted):
    return ((found - wanted) ** 2).sum() / (wanted**2).sum()


def together(one):
    return np.einsum("chw,dhw->cd", one, one) / one.size


# Of one image (3, H, W): the value, by other means; pictures are grey, 0.25.
REFERENCES = {
    "brightness": lambda image: (y(image).mean() - 0.7) ** 2,
    "exposure": lambda image: np.mean(
        [(image[:, i : i + 16, j : j + 16].mean() - 0.6) ** 2 for i in (0, 16) for j in (0, 16, 32)]
    ),
    "grayscale": lambda image: np.mean((image - y(image)) ** 2),
    "sobel": lambda image: -steepness(y(image)).mean(),
    "soft_canny": lambda image: -6 * sigmoid((steepness(blurred(y(image))) - 0.2) / 0.1).mean(),
    "tv": lambda image: np.abs(np.diff(image, axis=2)).mean() + np.abs(np.diff(image, axis=1)).mean(),
    "mix": lambda image: np.abs(np.tensordot([0.393, 0.769, 0.189], image, 1) - 0.5).mean(),
    "colour_matrix": lambda image: (image[0] ** 2).mean() / 3,
    "vignette": lambda image: np.mean(
        [y(image)[i, j] * ((2 * i / 31 - 1) ** 2 + (2 * j / 47 - 1) ** 2) / 2 for i in range(32) for j in range(48)]
    ),
    "reference": lambda image: ((image - 0.25) ** 2).mean(),
    "perceptual": lambda image: np.mean([relative(one, np.full_like(one, 0.25)) for one in features(image)]),
    "gram": lambda image: np.mean(
        [relative(together(one), together(np.full_like(one, 0.25))) for one in features(image)]
    ),
    "frequency": lambda image: (fine_share(image) - 0.35) ** 2,
}


@pytest.mark.parametrize("name", REFERENCES)
def test_a_loss_is_its_formula(name):
    found = value(name, IMAGES)
    expected = [REFERENCES[name](image.numpy()) for image in IMAGES]
    np.testing.assert_allclose(found, expected, rtol=1e-3)  # 1e-6 in a root or a quotient


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_the_derivatives_in_float64(name):
    images = IMAGES[:2, :, :16, :24].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda some: value(name, some), images, fast_mode=True)


@pytest.mark.parametrize("name", LOSSES)
def test_values_are_within_their_range_and_flat_images_give_no_nan(name):
    """Black, grey, white, the corners of the RGB cube, noise, and a step from black to white."""
    corners = [
        torch.tensor(corner)[:, None, None] for corner in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1))
    ]
    flat = torch.stack([torch.full((3, 16, 24), level) for level in (0.0, 0.5, 1.0)])
    step = torch.cat([torch.zeros(1, 3, 16, 12), torch.ones(1, 3, 16, 12)], dim=3)
    images = torch.cat([flat, torch.cat([corner * torch.ones(1, 3, 16, 24) for corner in corners]), step])
    images = torch.cat([images, IMAGES[..., :16, :24].float()]).requires_grad_()
    found = value(name, images)
    (gradient,) = torch.autograd.grad(found.sum(), images)
    assert found.isfinite().all()
    assert gradient.isfinite().all()
    low, high = re.match(r"(-?[\d.]+) (?:to (?:about )?(-?[\d.]+)|upwards)", LOSSES[name].range).groups()
    assert found.min() >= float(low)
    assert high is None or found.max() <= float(high) + 0.03


def test_soft_canny_draws_edges_where_canny_darkens():
    """Ten steps down the gradient of each, on smooth noise: edge pixels by OpenCV, and the mean luma."""
    smooth = torch.nn.functional.interpolate(IMAGES[:1, :, :8, :8], 64, mode="bicubic").clamp(0.2, 0.8)

    def after(name, length):
        image = smooth.clone()
        for _ in range(10):
            image.requires_grad_()
            (gradient,) = torch.autograd.grad(value(name, image).sum(), image)
            image = (image - length * gradient / gradient.abs().max()).detach()
        pixels = (image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        return (cv2.Canny(np.ascontiguousarray(pixels), 100, 200) > 0).mean(), float(y(image[0].numpy()).mean())

    (edges, light), (soft_edges, soft_light), (_, dark) = (
        after("tv", 0),
        after("soft_canny", 0.02),
        after("canny", 0.02),
    )
    assert soft_edges > edges + 0.01
    assert soft_light == pytest.approx(light, rel=1e-6)
    assert dark < 0.9 * light


def test_grey_and_sepia_pictures_are_where_their_losses_end():
    grey = IMAGES[:, :1].expand(-1, 3, -1, -1)
    assert value("grayscale", grey).max() < 1e-12
    brown = grey * torch.tensor([1.351, 1.203, 0.937], dtype=torch.float64)[:, None, None]  # the W3C's sepia of grey
    assert value("sepia", brown).max() < 1e-6
    assert value("sepia", grey).min() > 1e-3


def test_the_hue_loss_ends_at_its_hue():
    """A bright colour at each hue; the grey image has none."""
    for degrees in range(0, 360, 30):
        colour = torch.tensor(colorsys.hsv_to_rgb(degrees / 360, 1, 1), dtype=torch.float64)
        image = colour[None, :, None, None].expand(1, 3, 8, 8)
        near, far = (float(value("hue", image, target=target)) for target in (degrees, (degrees + 180) % 360))
        assert near < 0.08 < 1.9 < far
    assert float(value("hue", torch.full((1, 3, 8, 8), 0.5))) == pytest.approx(1)


def test_a_palette_is_where_its_loss_ends():
    colours = "navy #e9c46a white"
    inside = torch.tensor([[0, 0, 128 / 255], [233 / 255, 196 / 255, 106 / 255], [1, 1, 1]], dtype=torch.float64)
    image = inside.T[None, :, :, None].expand(1, 3, 3, 8)
    assert value("palette", image, colours=colours) < 1e-3 < value("palette", 1 - image, colours=colours)
    one = float(value("palette", IMAGES[:1], colours="black"))
    assert one == pytest.approx(float(IMAGES[0].square().mean()))


def test_symmetry_looks_along_its_axis():
    image = IMAGES[:1]
    same = {"left-right": image.flip(3), "top-bottom": image.flip(2), "half-turn": image.flip(2, 3)}
    for axis, other in same.items():
        symmetric = (image + other) / 2
        values = {one: float(value("symmetry", symmetric, axis=one)) for one in same}
        assert values.pop(axis) < 1e-30 < 1e-3 < min(values.values())


def test_contrast_and_latents_end_at_their_targets():
    spread = float(-value("contrast", IMAGES[:1]))
    assert float(value("contrast", IMAGES[:1], target=spread)) < 1e-12
    for statistic, target in (("rms", float(IMAGES[:1, :1, ::8, ::8].square().mean().sqrt())), ("mean", 0.0)):
        found = value("latents", IMAGES[:1], statistic=statistic, target=target)
        assert float(found) == pytest.approx(
            0 if statistic == "rms" else float(IMAGES[:1, :1, ::8, ::8].mean()) ** 2, abs=1e-6
        )


def test_elastic_moves_as_its_seed_says_and_by_alpha():
    """On a ramp of 1/48 a pixel, the loss is how far pixels were moved across, over 48."""
    ramp = torch.linspace(0, 1, 96, dtype=torch.float64).expand(1, 3, 64, 96)
    small, large = (float(value("elastic", ramp, alpha=alpha)) for alpha in (4, 8))
    assert large == pytest.approx(2 * small, rel=0.02)
    # torchvision's field: a uniform -1..1 of variance 1/3, blurred by 5 pixels (a Gaussian's squares add up to 1/(4 pi 25)).
    moved = 4 / 2 * np.sqrt(1 / 3 / (4 * np.pi * 25)) * np.sqrt(2 / np.pi)  # the mean of |normal|
    assert small * 95 == pytest.approx(moved, rel=0.25)
    assert float(value("elastic", ramp, alpha=4)) == small
    assert float(value("elastic", ramp, alpha=0)) < 1e-12
