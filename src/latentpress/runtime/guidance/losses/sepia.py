"""The sepia loss: draws every pixel to the brown of its own luma."""

from typing import TYPE_CHECKING

from latentpress.runtime.guidance.loss import Loss, LossParams
from latentpress.runtime.guidance.losses.luma import LUMA, luma

if TYPE_CHECKING:
    from torch import Tensor

# What the matrix that the W3C's Filter Effects give for `sepia(1)` makes of white.
_WHITE = (0.393 + 0.769 + 0.189, 0.349 + 0.686 + 0.168, 0.272 + 0.534 + 0.131)
# The same brown with a luma of 1, so that a picture keeps its light.
TONE = tuple(one / sum(weight * other for weight, other in zip(LUMA, _WHITE, strict=True)) for one in _WHITE)


def sepia(image: "Tensor") -> "Tensor":
    """mean (c - t_c Y)^2 over pixels and channels c; Y: luma, t = (1.11, 0.99, 0.77), whose luma is 1."""
    tone = image.new_tensor(TONE)[:, None, None] * luma(image)[:, None]
    return (image - tone).square().mean(dim=(1, 2, 3))


SEPIA = Loss(
    name="sepia",
    params=LossParams,
    function=sepia,
    formula="mean (c - t_c Y)^2 over pixels and channels c, t = (1.11, 0.99, 0.77)",
    range="0 to 0.3",
    does="turns colours to browns and leaves the light",
    source="the sepia of the W3C's Filter Effects, brought to a luma of 1",
)
