"""The soft Canny loss: draws edges, by a share of edge pixels that can be differentiated, and keeps the mean luma."""

from typing import TYPE_CHECKING

from pydantic import Field

from latentpress.runtime.guidance.loss import Loss, LossParams
from latentpress.runtime.guidance.losses.filters import gaussian, sobel_magnitude
from latentpress.runtime.guidance.losses.luma import luma, mean_luma

if TYPE_CHECKING:
    from torch import Tensor

# By which 200, the usual scale, draws edges that are seen.
_WEIGHT = 6.0


class SoftCannyParams(LossParams):
    """threshold: the steepness from which a pixel counts as an edge, 0..1; blur: sigma in pixels; softness: of the step."""

    threshold: float = Field(0.2, ge=0, le=1)
    blur: float = Field(0.3, ge=0.3, le=10)
    softness: float = Field(0.1, ge=0.001, le=1)


def soft_canny(image: "Tensor", threshold: float, blur: float, softness: float) -> "Tensor":
    """-6 mean sigmoid((G - threshold) / softness) over the inner pixels; G: steepness of the blurred luma, as in `sobel`.

    Sobel's operator does not see how light a picture is, but a decoder cannot draw an edge without moving the light around
    it: what of the latents' gradient would change the mean luma is taken out (`Loss.keeps`). In the first fifth of the steps
    a picture is still being composed, and what is pushed there ends as another one; the loss begins after it.
    """
    steepness = sobel_magnitude(gaussian(luma(image), blur))
    return -_WEIGHT * ((steepness - threshold) / softness).sigmoid().mean(dim=(1, 2))


SOFT_CANNY = Loss(
    name="soft_canny",
    params=SoftCannyParams,
    function=soft_canny,
    formula="-6 mean sigmoid((G - threshold) / softness), G: Sobel's magnitude of the blurred luma",
    range="-6 to 0",
    does="draws edges and keeps the mean luma; a negative scale wipes them out",
    source="latentpress's own, after J. Canny, IEEE PAMI 8, 1986, without thinning and hysteresis",
    both_ways=True,
    start=0.2,
    keeps=mean_luma,
)
