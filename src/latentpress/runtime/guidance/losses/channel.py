"""The channel loss: draws one colour channel towards a value."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from latentpress.runtime.guidance.loss import Loss, LossParams

if TYPE_CHECKING:
    from torch import Tensor

_CHANNELS = {"red": 0, "green": 1, "blue": 2}


class ChannelParams(LossParams):
    """channel: which one; target: the value it is drawn to, 0..1."""

    channel: Literal["red", "green", "blue"] = "blue"
    target: float = Field(0.9, ge=0, le=1)


def channel(image: "Tensor", channel: str, target: float) -> "Tensor":
    """mean |c - target| over the pixels of one colour channel c."""
    return (image[:, _CHANNELS[channel]] - target).abs().mean(dim=(1, 2))


CHANNEL = Loss(
    name="channel",
    params=ChannelParams,
    function=channel,
    formula="mean |c - target|, c: the colour channel",
    range="0 to 1",
    does="draws one colour channel towards a value",
    source="`blue_loss` of fastai's Stable Diffusion Deep Dive notebook and The School of AI's course, for any channel",
)
