"""The grayscale loss: draws every pixel to the grey of its own luma."""

from typing import TYPE_CHECKING

from latentpress.runtime.guidance.loss import Loss, LossParams
from latentpress.runtime.guidance.losses.luma import luma

if TYPE_CHECKING:
    from torch import Tensor


def grayscale(image: "Tensor") -> "Tensor":
    """mean (c - Y)^2 over pixels and channels c; Y: luma."""
    return (image - luma(image)[:, None]).square().mean(dim=(1, 2, 3))


GRAYSCALE = Loss(
    name="grayscale",
    params=LossParams,
    function=grayscale,
    formula="mean (c - Y)^2 over pixels and channels c",
    range="0 to 0.28",
    does="takes the colours out and leaves the light",
    source="latentpress's own, with the luma of ITU-R BT.601",
)
