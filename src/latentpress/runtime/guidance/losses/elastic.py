"""The elastic loss: makes a picture stay as it is under a random elastic deformation."""

from typing import TYPE_CHECKING

from pydantic import Field

from latentpress.runtime.guidance.loss import Loss, LossParams
from latentpress.runtime.guidance.losses.filters import gaussian_radius, gaussian_within

if TYPE_CHECKING:
    from torch import Generator, Tensor


class ElasticParams(LossParams):
    """alpha: how far pixels are moved; sigma: how smoothly, in pixels. Both as torchvision's ElasticTransform has them."""

    alpha: float = Field(50.0, ge=0, le=10000)
    sigma: float = Field(5.0, ge=0.3, le=50)


def elastic(image: "Tensor", alpha: float, sigma: float, generator: "Generator") -> "Tensor":
    """mean |moved - image| over pixels and channels; moved: the image, each pixel taken from (alpha / 2) U pixels away.

    U: uniform in -1..1, blurred by a Gaussian of `sigma` pixels; another at each step, of the picture's seed.
    """
    import torch
    from torch.nn.functional import grid_sample

    height, width = image.shape[-2:]
    margin = 2 * gaussian_radius(sigma)
    noise = torch.rand((2, height + margin, width + margin), generator=generator, dtype=torch.float64) * 2 - 1
    away = gaussian_within(noise, sigma) * alpha
    down, across = ((2 * torch.arange(size, dtype=torch.float64) + 1) / size - 1 for size in (height, width))
    places = torch.stack([across[None, :] + away[0] / width, down[:, None] + away[1] / height], dim=-1)
    grid = places.to(image)[None].expand(len(image), -1, -1, -1)
    moved = grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return (moved - image).abs().mean(dim=(1, 2, 3))


ELASTIC = Loss(
    name="elastic",
    params=ElasticParams,
    function=elastic,
    formula="mean |moved - image|, moved: by a random smooth field of the picture's seed and step",
    range="0 to 1",
    does="smooths along where it deforms; a negative scale makes it jagged",
    source="a loss of The School of AI's course, with the ElasticTransform of torchvision, seeded",
    wants=frozenset({"generator"}),
    both_ways=True,
)
