"""The losses: an image tensor (batch, 3, H, W), about 0..1 and not clamped, -> one value per image, (batch,).

Reduced per image and never over the batch: a batch mean would divide each image's gradient by the batch size.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
import torch
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_CHANNELS = {"red": 0, "green": 1, "blue": 2}


def canny(image: Tensor, low: float, high: float) -> Tensor:
    """mean((image - edges)^2), edges = cv2.Canny of the detached image as 0..255, per image, as 3 equal channels.

    The seed's own loss (EVA-8, assignment 14) with its uint8 cast repaired: it cast a 0..1 image, whose edge map is
    all zeros, which left mean(image^2), i.e. darkening.
    """
    with torch.no_grad():
        pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        maps = np.stack([cv2.Canny(np.ascontiguousarray(picture), low, high) for picture in pixels])
        edges = torch.from_numpy(maps).to(image)[:, None] / 255
    return (image - edges).square().mean(dim=(1, 2, 3))


def channel(image: Tensor, channel: str, target: float) -> Tensor:
    """mean |c - target| over one colour channel (The School of AI's and fastai's `blue_loss`, any channel)."""
    return (image[:, _CHANNELS[channel]] - target).abs().mean(dim=(1, 2))


def saturation(image: Tensor) -> Tensor:
    """-mean sqrt(var_c + 1e-6): the standard deviation over each pixel's channels; 1e-6 keeps grey differentiable."""
    return -(image.var(dim=1, unbiased=False) + 1e-6).sqrt().mean(dim=(1, 2))


def contrast(image: Tensor) -> Tensor:
    """-std of the luma over each image."""
    weights = image.new_tensor(_LUMA)[:, None, None]
    luma = (image * weights).sum(dim=1)
    return -(luma.var(dim=(1, 2), unbiased=False) + 1e-6).sqrt()


def symmetry(image: Tensor) -> Tensor:
    """MSE to the left-right mirror image."""
    return (image - image.flip(-1)).square().mean(dim=(1, 2, 3))


_FUNCTIONS: Mapping[str, Callable[..., Tensor]] = {
    "canny": canny,
    "channel": channel,
    "saturation": saturation,
    "contrast": contrast,
    "symmetry": symmetry,
}


def loss_values(image: Tensor, name: str, params: Mapping[str, float | str]) -> Tensor:
    """The loss called `name` (a key of `guidance.LOSSES`) of each image, (batch,)."""
    return _FUNCTIONS[name](image, **params)
