"""The CLIP loss: draws to what a text says or a picture shows, as a CLIP model that the person names sees it."""

from typing import TYPE_CHECKING

from pydantic import Field

from latentpress.runtime.guidance.loss import Loss, LossParams
from latentpress.runtime.request import ImageFile

if TYPE_CHECKING:
    from torch import Tensor


class ClipParams(LossParams):
    """text: what the picture shall show, where no picture says it."""

    text: str = Field("", max_length=10_000)


def clip(image: "Tensor", text: str, model: ImageFile, picture: "Tensor | None" = None) -> "Tensor":
    """1 - cos(e(image), e(target)); e: the model's vector of an image or a text; target: `picture`, else `text`.

    model: the folder of a CLIPModel; picture: (1, 3, H, W), 0..1.
    """
    import torch

    from latentpress.runtime.guidance.clip_model import clip_model, clip_text

    known = clip_model(model, image.dtype)
    if picture is None:
        target = clip_text(model, image.dtype, text)
    else:
        with torch.no_grad():
            target = known.image(picture.to(image.dtype))
    # One at a time: a batch mate must not change the bits.
    return torch.stack([1 - (known.image(one[None]) * target).sum() for one in image])


CLIP = Loss(
    name="clip",
    params=ClipParams,
    function=clip,
    formula="1 - cos(e(image), e(target)), e: a CLIP model's vector, target: a text or a picture",
    range="0 to 2",
    does="draws to what a text says, or a picture in a file shows, as a CLIP model sees it",
    source="A. Radford et al., ICML 2021; as a guide K. Crowson et al., VQGAN-CLIP, ECCV 2022",
    both_ways=True,
    pictures=("picture",),
    folders=("model",),
    one_of=("text", "picture"),
)
