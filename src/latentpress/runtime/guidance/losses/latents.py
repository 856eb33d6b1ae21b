"""The latents loss: looks at the latents themselves, and not at the picture."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from latentpress.runtime.guidance.loss import Loss, LossParams

if TYPE_CHECKING:
    from torch import Tensor


class LatentsParams(LossParams):
    """statistic: of the latents; target: the value it is drawn to."""

    statistic: Literal["rms", "mean"] = "rms"
    target: float = Field(1.0, ge=-10, le=10)


def latents_loss(statistic: str, target: float, latents: "Tensor") -> "Tensor":
    """(s - target)^2; s: sqrt(mean x0^2 + 1e-6) or mean x0 of the latents x0, in which the training data's variance is 1."""
    size = (latents.square().mean(dim=(1, 2, 3)) + 1e-6).sqrt()
    value = latents.mean(dim=(1, 2, 3)) if statistic == "mean" else size
    return (value - target).square()


LATENTS = Loss(
    name="latents",
    params=LatentsParams,
    function=latents_loss,
    formula="(s - target)^2, s: the root mean square or the mean of the latents",
    range="0 upwards",
    does="brings the size or the mean of the latents to a target; the picture is not looked at",
    source="latentpress's own, after a loss of The School of AI's course",
    wants=frozenset({"latents"}),
    looks=False,
)
