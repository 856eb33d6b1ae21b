"""The contrast loss: spreads light and dark."""

from typing import TYPE_CHECKING

from latentpress.runtime.guidance.loss import Loss, LossParams

if TYPE_CHECKING:
    from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def contrast(image: "Tensor") -> "Tensor":
    """-sqrt(var(Y) + 1e-6); Y: the luma of each pixel, 0.299 R + 0.587 G + 0.114 B; var: over an image's pixels.

    1e-6 keeps the root differentiable where an image is flat.
    """
    weights = image.new_tensor(_LUMA)[:, None, None]
    luma = (image * weights).sum(dim=1)
    return -(luma.var(dim=(1, 2), unbiased=False) + 1e-6).sqrt()


CONTRAST = Loss(
    name="contrast", params=LossParams, function=contrast, source="latentpress's own, with the luma of ITU-R BT.601"
)
