"""The brightness loss: draws the light of a whole picture to a value."""

from typing import TYPE_CHECKING

from pydantic import Field

from latentpress.runtime.guidance.loss import Loss, LossParams
from latentpress.runtime.guidance.losses.luma import luma

if TYPE_CHECKING:
    from torch import Tensor


class BrightnessParams(LossParams):
    """target: the mean luma it is drawn to, 0 black to 1 white."""

    target: float = Field(0.7, ge=0, le=1)


def brightness(image: "Tensor", target: float) -> "Tensor":
    """(mean Y - target)^2 over an image's pixels; Y: luma."""
    return (luma(image).mean(dim=(1, 2)) - target).square()


BRIGHTNESS = Loss(
    name="brightness",
    params=BrightnessParams,
    function=brightness,
    formula="(mean Y - target)^2",
    range="0 to 1",
    does="lightens or darkens",
    source="latentpress's own, after losses of The School of AI's course",
)
