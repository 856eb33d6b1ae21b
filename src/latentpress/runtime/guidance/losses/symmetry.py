"""The symmetry loss: draws a picture towards its mirror image."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from latentpress.runtime.guidance.loss import Loss, LossParams

if TYPE_CHECKING:
    from torch import Tensor

Axis = Literal["left-right", "top-bottom", "half-turn"]
# What is exchanged: the dimensions that are flipped.
_FLIPPED: Mapping[str, tuple[int, ...]] = {"left-right": (-1,), "top-bottom": (-2,), "half-turn": (-2, -1)}


class SymmetryParams(LossParams):
    """axis: what is exchanged in the mirror image."""

    axis: Axis = "left-right"

    later: ClassVar[frozenset[str]] = frozenset({"axis"})


def symmetry(image: "Tensor", axis: str = "left-right") -> "Tensor":
    """mean((image - mirrored)^2) over pixels and channels; mirrored: the image with the sides of `axis` exchanged."""
    return (image - image.flip(_FLIPPED[axis])).square().mean(dim=(1, 2, 3))


SYMMETRY = Loss(
    name="symmetry",
    params=SymmetryParams,
    function=symmetry,
    formula="mean (image - mirrored)^2",
    range="0 to 1",
    does="makes the sides alike; a negative scale makes them differ",
    source="a loss of The School of AI's course, for any axis",
    both_ways=True,
)
