"""The exposure loss: draws the light of every part of a picture to a value."""

from typing import TYPE_CHECKING

from pydantic import Field

from latentpress.runtime.guidance.loss import Loss, LossParams

if TYPE_CHECKING:
    from torch import Tensor


class ExposureParams(LossParams):
    """target: the light that each square is drawn to, 0..1; patch: the side of these squares, in pixels."""

    target: float = Field(0.6, ge=0, le=1)
    patch: int = Field(16, ge=1, le=512)


def exposure(image: "Tensor", target: float, patch: int) -> "Tensor":
    """mean (E - target)^2; E: the mean over pixels and channels of each square of `patch` pixels, cut at the edges."""
    from torch.nn.functional import avg_pool2d

    squares = avg_pool2d(image.mean(dim=1, keepdim=True), patch, ceil_mode=True)
    return (squares - target).square().mean(dim=(1, 2, 3))


EXPOSURE = Loss(
    name="exposure",
    params=ExposureParams,
    function=exposure,
    formula="mean (E - target)^2, E: the mean of each square of patch x patch pixels",
    range="0 to 1",
    does="evens the light out, square by square",
    source="the exposure control loss of Zero-DCE (Guo et al., CVPR 2020, arXiv 2001.06826), squared as in its code",
)
