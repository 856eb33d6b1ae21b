"""The frequency loss: draws the share of fine detail to a value."""

from typing import TYPE_CHECKING

from pydantic import Field

from latentpress.runtime.guidance.loss import Loss, LossParams
from latentpress.runtime.guidance.losses.luma import luma

if TYPE_CHECKING:
    from torch import Tensor


class FrequencyParams(LossParams):
    """target: the share of fine detail, 0..1; cutoff: where it begins, in cycles a pixel; 0.5 is the finest there is."""

    target: float = Field(0.35, ge=0, le=1)
    cutoff: float = Field(0.1, gt=0, lt=0.7)


def frequency(image: "Tensor", target: float, cutoff: float) -> "Tensor":
    """(H - target)^2; H: the share of the variance of luma at frequencies from `cutoff` cycles a pixel on.

    By Parseval's theorem the energies |F|^2 of the Fourier transform add up to the variance. 1e-6 is added to it, so that a
    flat image has none of it and no gradient.
    """
    import torch

    light = luma(image)
    light = light - light.mean(dim=(1, 2), keepdim=True)
    height, width = light.shape[-2:]
    spectrum = torch.fft.fft2(light, norm="forward")
    energy = spectrum.real.square() + spectrum.imag.square()
    down, across = (torch.fft.fftfreq(size, dtype=torch.float64) for size in (height, width))
    fine = (down.square()[:, None] + across.square()[None, :]).sqrt() >= cutoff
    share = (energy * fine.to(image)).sum(dim=(1, 2)) / (energy.sum(dim=(1, 2)) + 1e-6)
    return (share - target).square()


FREQUENCY = Loss(
    name="frequency",
    params=FrequencyParams,
    function=frequency,
    formula="(H - target)^2, H: the share of the variance of luma at frequencies from cutoff on",
    range="0 to 1",
    does="brings fine detail to a share of all",
    source="latentpress's own, after a Fourier ratio in The School of AI's course",
)
