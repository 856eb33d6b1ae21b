"""The Gram loss: draws the style of a picture, by how features go together, wherever in it they are."""

from typing import TYPE_CHECKING

from latentpress.runtime.guidance.loss import Loss, LossParams

if TYPE_CHECKING:
    from torch import Tensor

    from latentpress.runtime.guidance.context import Encode


def gram(image: "Tensor", picture: "Tensor", encode: "Encode") -> "Tensor":
    """The mean over the features F of the VAE encoder of |G - P|^2 / |P|^2; G = F F^T / (C h w), P: that of the picture.

    Gatys et al. sum over layers of VGG-19, each by its size; here the layers weigh alike. picture: (1, 3, H, W), 0..1.
    """
    import torch

    wanted = [_gram(features) for features in encode(picture)]
    values = [
        torch.stack([_apart(_gram(f), p) for f, p in zip(encode(one[None]), wanted, strict=True)]) for one in image
    ]
    return torch.stack([value.mean() for value in values])


def _gram(features: "Tensor") -> "Tensor":
    """(C, C) of features (1, C, h, w)."""
    flat = features[0].flatten(1)
    return flat @ flat.T / flat.numel()


def _apart(found: "Tensor", wanted: "Tensor") -> "Tensor":
    return (found - wanted).square().sum() / wanted.square().sum().clamp(min=1e-12)


GRAM = Loss(
    name="gram",
    params=LossParams,
    function=gram,
    formula="mean over the VAE encoder's features F of |G - P|^2 / |P|^2, G = F F^T / (C h w), P: that of the picture",
    range="0 upwards",
    does="draws the style of a picture in a file",
    source="L. Gatys, A. Ecker, M. Bethge, CVPR 2016, with the VAE's encoder in place of VGG-19",
    wants=frozenset({"encode"}),
    pictures=("picture",),
)
