"""The losses of the library in whole pictures, against the notebooks' loop with each loss written anew in plain torch."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d, conv2d, pad, softmax

from compare import psnr
from guided_reference import EVERY, SCALE, STEPS, reference_picture
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.request import ImageFile, LossSpec, RenderRequest

LUMA = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
SIDES = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
SEPIA = torch.tensor([1.351, 1.203, 0.937])[:, None, None]  # what the W3C's sepia makes of white
MIXED = torch.tensor([0.393, 0.769, 0.189])[:, None, None]
PHOTO = (np.indices((64, 64)).sum(0)[..., None] * [2, 1, 0] + [0, 60, 90]).astype(np.uint8)


def y(image):
    return (image[0] * LUMA).sum(0)


def steepness(plane):
    gx, gy = (conv2d(plane[None, None], one[None, None])[0, 0] for one in (SIDES, SIDES.T))
    return (gx**2 + gy**2 + 1e-6).sqrt()


def blurred(plane):
    """By a Gaussian of 0.3 pixels, which reaches one."""
    side = float(np.exp(-((1 / 0.3) ** 2) / 2))
    line = torch.tensor([side, 1, side]) / (1 + 2 * side)
    wide = pad(plane[None, None], (1, 1, 1, 1), mode="replicate")
    return conv2d(wide, (line[:, None] * line)[None, None])[0, 0]


PALETTE = "264653 2a9d8f e9c46a f4a261 e76f51"


def hue(image):
    """Towards violet, 270 degrees: chroma as the length of a sum of three arrows, 120 degrees apart."""
    arrows = torch.exp(2j * torch.pi / 3 * torch.arange(3))[:, None, None]
    colours = (image[0] * arrows).sum(0)
    towards = (colours * np.exp(-1.5j * np.pi)).real
    return 1 - towards.sum() / ((colours.abs() ** 2 + 1e-6).sqrt() + 0.05).sum()


def palette(image):
    colours = torch.tensor([[int(one[i : i + 2], 16) / 255 for i in (0, 2, 4)] for one in PALETTE.split()])
    away = ((image[0][None] - colours[:, :, None, None]) ** 2).mean(1)
    return (softmax(-away / 0.01, 0) * away).sum(0).mean()


def vignette(image):
    down, across = (torch.linspace(-1, 1, 64) ** 2 / 2 for _ in range(2))
    return (y(image) * (down[:, None] + across)).mean()


def frequency(image):
    light = y(image) - y(image).mean()
    energy = torch.fft.fft2(light).abs() ** 2
    place = torch.fft.fftfreq(64).abs()
    fine = (place[:, None] ** 2 + place**2).sqrt() >= 0.1
    return (energy[fine].sum() / (energy.sum() + 1e-12) - 0.35) ** 2


PHOTO_TENSOR = torch.from_numpy(PHOTO / 255).permute(2, 0, 1)[None].float()
# Scale, and the loss of an image (1, 3, H, W) and its x0.
PLAIN = {
    "soft_canny": (200, lambda image, x0: -6 * torch.sigmoid((steepness(blurred(y(image))) - 0.2) / 0.1).mean()),
    "sobel": (200, lambda image, x0: -steepness(y(image)).mean()),
    "tv": (500, lambda image, x0: image.diff(dim=3).abs().mean() + image.diff(dim=2).abs().mean()),
    "brightness": (400, lambda image, x0: (y(image).mean() - 0.7) ** 2),
    "exposure": (2000, lambda image, x0: ((avg_pool2d(image.mean(1, keepdim=True), 16) - 0.6) ** 2).mean()),
    "grayscale": (200, lambda image, x0: ((image - y(image)) ** 2).mean()),
    "sepia": (200, lambda image, x0: ((image - y(image) * SEPIA / (SEPIA * LUMA).sum()) ** 2).mean()),
    "hue": (50, lambda image, x0: hue(image)),
    "palette": (200, lambda image, x0: palette(image)),
    "mix": (100, lambda image, x0: ((image[0] * MIXED).sum(0) - 0.5).abs().mean()),
    "colour_matrix": (200, lambda image, x0: (image[:, 0] ** 2).mean() / 3),
    "vignette": (2000, lambda image, x0: vignette(image)),
    "frequency": (2000, lambda image, x0: frequency(image)),
    "latents": (200, lambda image, x0: ((x0**2).mean().add(1e-6).sqrt() - 1) ** 2),
    "reference": (200, lambda image, x0: ((image - PHOTO_TENSOR) ** 2).mean()),
}
FEATURES = ("perceptual", "gram")


def features(vae, image):
    """Of diffusers' own module: what each downsampler and the last convolution take."""
    found = []
    layers = [block.downsamplers[0] for block in vae.encoder.down_blocks if block.downsamplers] + [vae.encoder.conv_out]
    hooks = [layer.register_forward_pre_hook(lambda module, given: found.append(given[0])) for layer in layers]
    vae.encoder(image * 2 - 1)
    for hook in hooks:
        hook.remove()
    return found


def by_features(vae, name):
    def together(one):
        return torch.einsum("bchw,bdhw->cd", one, one) / one[0].numel() if name == "gram" else one

    with torch.no_grad():
        wanted = [together(one) for one in features(vae, PHOTO_TENSOR)]

    def loss(image, x0):
        found = [together(one) for one in features(vae, image)]
        return torch.stack([((f - w) ** 2).sum() / (w**2).sum() for f, w in zip(found, wanted, strict=True)]).mean()

    return loss


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    return ImageFile(hashlib.sha256((tmp_path / "photo.png").read_bytes()).hexdigest(), tmp_path / "photo.png")


def cases():
    """Every loss with two samplers, one that keeps sigmas and one that does not; a few of them quickly."""
    quick = {("soft_canny", "lms"), ("gram", "ddim"), ("latents", "ddim")}
    for name in (*PLAIN, *FEATURES):
        for sampler in ("lms", "ddim"):
            yield pytest.param(name, sampler, marks=[] if (name, sampler) in quick else pytest.mark.full)


@pytest.mark.parametrize(("name", "sampler"), list(cases()))
def test_pictures_match_the_reference_loop(name, sampler, photo, assets, renderer, reference_pipeline):
    loss = LOSSES[name]
    scale, plain = PLAIN.get(name) or (50, by_features(reference_pipeline.vae, name))
    files = dict.fromkeys(loss.pictures, photo)
    params = loss.params().complete()
    spec = LossSpec(name, scale, EVERY, loss.start, params=params, files=files, step="raw")
    asked = RenderRequest("a mouse in the style of <gta5-artwork>", 42, 64, 64, sampler, STEPS, SCALE, losses=(spec,))
    keeps = (lambda image: y(image).mean()) if loss.keeps else None
    expected = reference_picture(reference_pipeline, assets, asked, plain, scale, keeps)
    unguided = reference_picture(reference_pipeline, assets, asked, None, 0)
    (rendered,) = renderer.render([("guided", asked)])
    assert psnr(rendered.image, expected) >= 40
    assert psnr(unguided, expected) < 40, "the loss moved it"
