"""The Sobel loss: makes edges steeper."""

from typing import TYPE_CHECKING

from latentpress.runtime.guidance.loss import Loss, LossParams
from latentpress.runtime.guidance.losses.filters import sobel_magnitude
from latentpress.runtime.guidance.losses.luma import luma

if TYPE_CHECKING:
    from torch import Tensor


def sobel(image: "Tensor") -> "Tensor":
    """-mean sqrt(gx^2 + gy^2 + 1e-6) over the inner pixels; gx, gy: Sobel's operator on luma, over 4."""
    return -sobel_magnitude(luma(image)).mean(dim=(1, 2))


SOBEL = Loss(
    name="sobel",
    params=LossParams,
    function=sobel,
    formula="-mean sqrt(gx^2 + gy^2 + 1e-6), gx, gy: Sobel's operator on luma, over 4",
    range="-1.42 to 0",
    does="makes edges steeper; a negative scale softens them",
    source="I. Sobel, G. Feldman, 1968, as in edge losses of The School of AI's course",
    both_ways=True,
)
