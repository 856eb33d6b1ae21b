"""Small linear filters over planes (batch, H, W), by shifts and sums: differentiable, and of each plane for itself."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def sobel_magnitude(plane: "Tensor") -> "Tensor":
    """sqrt(gx^2 + gy^2 + 1e-6) of Sobel's operator over 4: (batch, H - 2, W - 2), about 1 at an edge from 0 to 1.

    1e-6 keeps the root differentiable where a plane is flat.
    """
    down = plane[:, :-2] + 2 * plane[:, 1:-1] + plane[:, 2:]
    across = plane[:, :, :-2] + 2 * plane[:, :, 1:-1] + plane[:, :, 2:]
    gx = (down[:, :, 2:] - down[:, :, :-2]) / 4
    gy = (across[:, 2:] - across[:, :-2]) / 4
    return (gx.square() + gy.square() + 1e-6).sqrt()


def gaussian(plane: "Tensor", sigma: float) -> "Tensor":
    """`plane` blurred by a Gaussian of `sigma` > 0 pixels, cut at 3 sigma, edges repeated: (batch, H, W)."""
    radius = gaussian_radius(sigma)
    return gaussian_within(_repeated(_repeated(plane, radius, 1), radius, 2), sigma)


def gaussian_within(plane: "Tensor", sigma: float) -> "Tensor":
    """As `gaussian`, of the pixels alone that have all their neighbours: (batch, H - 2 radius, W - 2 radius)."""
    radius = gaussian_radius(sigma)
    weights = [math.exp(-((offset / sigma) ** 2) / 2) for offset in range(-radius, radius + 1)]
    total = sum(weights)
    for axis in (1, 2):
        size = plane.shape[axis] - 2 * radius
        shifted = [plane.narrow(axis, place, size) * (weight / total) for place, weight in enumerate(weights)]
        plane = sum(shifted[1:], shifted[0])
    return plane


def gaussian_radius(sigma: float) -> int:
    """How many pixels the Gaussian reaches."""
    return max(1, math.ceil(3 * sigma))


def _repeated(plane: "Tensor", radius: int, axis: int) -> "Tensor":
    import torch

    size = plane.shape[axis]
    places = torch.arange(-radius, size + radius).clamp(0, size - 1)
    return plane.index_select(axis, places)
