"""The vignette loss: darkens the corners."""

from typing import TYPE_CHECKING

from latentpress.runtime.guidance.loss import Loss, LossParams
from latentpress.runtime.guidance.losses.luma import luma

if TYPE_CHECKING:
    from torch import Tensor


def vignette(image: "Tensor") -> "Tensor":
    """mean (Y r^2) over the pixels; Y: luma, r: a pixel's distance from the centre, 1 in the middle of a corner's pixel."""
    import torch

    height, width = image.shape[-2:]
    down, across = (torch.linspace(-1, 1, size, dtype=image.dtype) for size in (height, width))
    squared = (down.square()[:, None] + across.square()[None, :]) / 2
    return (luma(image) * squared.to(image.device)).mean(dim=(1, 2))


VIGNETTE = Loss(
    name="vignette",
    params=LossParams,
    function=vignette,
    formula="mean (Y r^2), r: distance from the centre, 1 in the corners",
    range="0 to about 0.35",
    does="darkens towards the corners; a negative scale lightens them",
    source="latentpress's own",
    both_ways=True,
)
