"""The symmetry loss: draws a picture towards its mirror image."""

from typing import TYPE_CHECKING

from latentpress.runtime.guidance.loss import Loss, LossParams

if TYPE_CHECKING:
    from torch import Tensor


def symmetry(image: "Tensor") -> "Tensor":
    """mean((image - mirrored)^2) over pixels and channels; mirrored: the image with left and right exchanged."""
    return (image - image.flip(-1)).square().mean(dim=(1, 2, 3))


SYMMETRY = Loss(name="symmetry", params=LossParams, function=symmetry, source="latentpress's own")
