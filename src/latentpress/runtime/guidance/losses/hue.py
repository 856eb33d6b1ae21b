"""The hue loss: turns colours towards one hue."""

import math
from typing import TYPE_CHECKING

from pydantic import Field

from latentpress.runtime.guidance.loss import Loss, LossParams

if TYPE_CHECKING:
    from torch import Tensor

# The chroma beside which that of an image counts: a grey image has no hue, and none that a push could tell.
_LEAST_CHROMA = 0.05


class HueParams(LossParams):
    """target: the hue in degrees, 0 red, 60 yellow, 120 green, 180 cyan, 240 blue, 300 magenta."""

    target: float = Field(270.0, ge=0, le=360)


def hue(image: "Tensor", target: float) -> "Tensor":
    """1 - sum(C cos(h - target)) / sum(C + 0.05) over an image's pixels; C, h: chroma and hue of each.

    (C cos h, C sin h) = (R - (G + B)/2, sqrt(3)/2 (G - B)). 1 where an image is grey.
    """
    red, green, blue = image[:, 0], image[:, 1], image[:, 2]
    alpha, beta = red - (green + blue) / 2, (green - blue) * (math.sqrt(3) / 2)
    chroma = (alpha.square() + beta.square() + 1e-6).sqrt()
    angle = math.radians(target)
    towards = alpha * math.cos(angle) + beta * math.sin(angle)
    return 1 - towards.sum(dim=(1, 2)) / (chroma + _LEAST_CHROMA).sum(dim=(1, 2))


HUE = Loss(
    name="hue",
    params=HueParams,
    function=hue,
    formula="1 - sum(C cos(h - target)) / sum(C + 0.05), C: chroma, h: hue",
    range="0 to 2, 1 where an image is grey",
    does="turns colours towards a hue, in degrees",
    source="latentpress's own, in the hue plane of A. Hanbury, Pattern Recognition Letters 29, 2008",
)
