"""The luma of images, for the losses that look at light and not at colour."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# ITU-R BT.601.
LUMA = (0.299, 0.587, 0.114)


def luma(image: "Tensor") -> "Tensor":
    """Y = 0.299 R + 0.587 G + 0.114 B of images (batch, 3, H, W): (batch, H, W), 0..1 where they are."""
    return (image * image.new_tensor(LUMA)[:, None, None]).sum(dim=1)


def mean_luma(image: "Tensor") -> "Tensor":
    """The mean of Y over the pixels: (batch,)."""
    return luma(image).mean(dim=(1, 2))
