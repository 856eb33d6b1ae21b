"""Total variation: smooths."""

from typing import TYPE_CHECKING

from latentpress.runtime.guidance.loss import Loss, LossParams

if TYPE_CHECKING:
    from torch import Tensor


def tv(image: "Tensor") -> "Tensor":
    """mean |x - right neighbour| + mean |x - lower neighbour|, each over its pixels and channels."""
    across = (image[..., 1:] - image[..., :-1]).abs().mean(dim=(1, 2, 3))
    return across + (image[..., 1:, :] - image[..., :-1, :]).abs().mean(dim=(1, 2, 3))


TV = Loss(
    name="tv",
    params=LossParams,
    function=tv,
    formula="mean |dx| + mean |dy|, dx, dy: to the right and the lower neighbour",
    range="0 to 2",
    does="smooths; a negative scale roughens",
    source="L. Rudin, S. Osher, E. Fatemi, Physica D 60, 1992; along the axes",
    both_ways=True,
)
