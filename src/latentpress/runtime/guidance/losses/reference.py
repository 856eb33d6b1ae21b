"""The reference loss: draws a picture to another one, pixel by pixel."""

from typing import TYPE_CHECKING, Literal

from latentpress.runtime.guidance.loss import Loss, LossParams

if TYPE_CHECKING:
    from torch import Tensor


class ReferenceParams(LossParams):
    """metric: the mean of squares, or of absolute values."""

    metric: Literal["mse", "l1"] = "mse"


def reference(image: "Tensor", metric: str, picture: "Tensor") -> "Tensor":
    """mean (image - picture)^2, or mean |image - picture|, over pixels and channels.

    picture: (1, 3, H, W), 0..1, brought to the image's size.
    """
    away = image - picture
    return (away.square() if metric == "mse" else away.abs()).mean(dim=(1, 2, 3))


REFERENCE = Loss(
    name="reference",
    params=ReferenceParams,
    function=reference,
    formula="mean (image - picture)^2, or mean |image - picture|",
    range="0 to 1",
    does="draws each pixel to that of a picture in a file",
    source="a loss of The School of AI's course",
    pictures=("picture",),
)
