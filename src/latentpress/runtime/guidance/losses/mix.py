"""The mix loss: draws a weighted sum of the channels to a value."""

from typing import TYPE_CHECKING

from pydantic import Field

from latentpress.runtime.guidance.loss import Loss, LossParams

if TYPE_CHECKING:
    from torch import Tensor


class MixParams(LossParams):
    """red, green, blue: the weights; target: the value their sum is drawn to."""

    red: float = Field(0.393, ge=-10, le=10)
    green: float = Field(0.769, ge=-10, le=10)
    blue: float = Field(0.189, ge=-10, le=10)
    target: float = Field(0.5, ge=-10, le=10)


def mix(image: "Tensor", red: float, green: float, blue: float, target: float) -> "Tensor":
    """mean |red R + green G + blue B - target| over the pixels."""
    total = red * image[:, 0] + green * image[:, 1] + blue * image[:, 2]
    return (total - target).abs().mean(dim=(1, 2))


MIX = Loss(
    name="mix",
    params=MixParams,
    function=mix,
    formula="mean |red R + green G + blue B - target|",
    range="0 upwards",
    does="draws a weighted sum of the channels to a target",
    source="the sepia loss of The School of AI's course, for any weights",
)
