"""The contrast loss: spreads light and dark, or brings their spread to a value."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from latentpress.runtime.guidance.loss import Loss, LossParams
from latentpress.runtime.guidance.losses.luma import luma

if TYPE_CHECKING:
    from torch import Tensor


class ContrastParams(LossParams):
    """target: the standard deviation of luma that it is drawn to, 0..0.5; None for as much as there can be."""

    target: float | None = Field(None, ge=0, le=0.5)

    later: ClassVar[frozenset[str]] = frozenset({"target"})


def contrast(image: "Tensor", target: float | None = None) -> "Tensor":
    """-S, or (S - target)^2 with a target; S = sqrt(var(Y) + 1e-6), Y: luma, var: over an image's pixels.

    1e-6 keeps the root differentiable where an image is flat.
    """
    spread = (luma(image).var(dim=(1, 2), unbiased=False) + 1e-6).sqrt()
    return -spread if target is None else (spread - target).square()


CONTRAST = Loss(
    name="contrast",
    params=ContrastParams,
    function=contrast,
    formula="-S, or (S - target)^2; S = sqrt(var Y + 1e-6)",
    range="-0.501 to -0.001; with a target 0 to 0.26",
    does="spreads light and dark, or brings their spread to a target; a negative scale flattens",
    source="latentpress's own, with the luma of ITU-R BT.601",
    both_ways=True,
)
