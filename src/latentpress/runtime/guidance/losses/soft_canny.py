"""The soft Canny loss: draws edges, by a share of edge pixels that can be differentiated."""

from typing import TYPE_CHECKING

from pydantic import Field

from latentpress.runtime.guidance.loss import Loss, LossParams
from latentpress.runtime.guidance.losses.filters import gaussian, sobel_magnitude
from latentpress.runtime.guidance.losses.luma import luma

if TYPE_CHECKING:
    from torch import Tensor


class SoftCannyParams(LossParams):
    """threshold: the steepness from which a pixel counts as an edge, 0..1; blur: sigma in pixels; softness: of the step."""

    threshold: float = Field(0.1, ge=0, le=1)
    blur: float = Field(1.0, ge=0.3, le=10)
    softness: float = Field(0.1, ge=0.001, le=1)


def soft_canny(image: "Tensor", threshold: float, blur: float, softness: float) -> "Tensor":
    """-mean sigmoid((G - threshold) / softness) over the inner pixels; G: steepness of the blurred luma, as in `sobel`.

    Sobel's operator does not see how light a picture is, so that the gradient adds no light of its own; what the sampler
    makes of the moved picture may be lighter or darker. docs/losses.md has what was measured.
    """
    steepness = sobel_magnitude(gaussian(luma(image), blur))
    return -((steepness - threshold) / softness).sigmoid().mean(dim=(1, 2))


SOFT_CANNY = Loss(
    name="soft_canny",
    params=SoftCannyParams,
    function=soft_canny,
    formula="-mean sigmoid((G - threshold) / softness), G: Sobel's magnitude of the blurred luma",
    range="-1 to 0",
    does="draws edges; a negative scale wipes them out",
    source="latentpress's own, after J. Canny, IEEE PAMI 8, 1986, without thinning and hysteresis",
    both_ways=True,
)
