"""The perceptual loss: draws to what a picture shows, by features in place of pixels."""

from typing import TYPE_CHECKING

from latentpress.runtime.guidance.loss import Loss, LossParams

if TYPE_CHECKING:
    from torch import Tensor

    from latentpress.runtime.guidance.context import Encode


def perceptual(image: "Tensor", picture: "Tensor", encode: "Encode") -> "Tensor":
    """The mean over the features F of the VAE encoder of |F - P|^2 / |P|^2, P: those of the picture.

    Johnson et al. take one layer of VGG-16; here all resolutions weigh alike. picture: (1, 3, H, W), 0..1.
    """
    import torch

    wanted = encode(picture)
    values = [torch.stack([_apart(f, p) for f, p in zip(encode(one[None]), wanted, strict=True)]) for one in image]
    return torch.stack([value.mean() for value in values])


def _apart(found: "Tensor", wanted: "Tensor") -> "Tensor":
    return (found - wanted).square().sum() / wanted.square().sum().clamp(min=1e-12)


PERCEPTUAL = Loss(
    name="perceptual",
    params=LossParams,
    function=perceptual,
    formula="mean over the VAE encoder's features F of |F - P|^2 / |P|^2, P: those of the picture",
    range="0 upwards",
    does="draws to what a picture in a file shows, by features in place of pixels",
    source="J. Johnson, A. Alahi, L. Fei-Fei, ECCV 2016, with the VAE's encoder in place of VGG-16",
    wants=frozenset({"encode"}),
    pictures=("picture",),
)
