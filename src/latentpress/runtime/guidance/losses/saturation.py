"""The saturation loss: makes colours stronger."""

from typing import TYPE_CHECKING

from latentpress.runtime.guidance.loss import Loss, LossParams

if TYPE_CHECKING:
    from torch import Tensor


def saturation(image: "Tensor") -> "Tensor":
    """-mean sqrt(var_c + 1e-6) over the pixels; var_c: a pixel's variance over its channels (divided by 3).

    1e-6 keeps the root differentiable where a pixel is grey.
    """
    return -(image.var(dim=1, unbiased=False) + 1e-6).sqrt().mean(dim=(1, 2))


SATURATION = Loss(
    name="saturation",
    params=LossParams,
    function=saturation,
    formula="-mean sqrt(var_c + 1e-6), var_c: a pixel's variance over its channels",
    range="-0.48 to 0",
    does="makes colours stronger; a negative scale makes them weaker",
    source="latentpress's own",
    both_ways=True,
)
