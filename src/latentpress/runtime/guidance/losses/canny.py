"""The Canny loss: draws a picture towards its own edges."""

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from latentpress.runtime.guidance.loss import Loss, LossParams

if TYPE_CHECKING:
    from torch import Tensor


class CannyParams(LossParams):
    """low, high: the hysteresis thresholds of OpenCV's detector, 0..255, on pixels of 0..255."""

    low: float = Field(100, ge=0, le=255)
    high: float = Field(200, ge=0, le=255)

    @model_validator(mode="after")
    def _ordered(self) -> "CannyParams":
        if self.low > self.high:
            raise ValueError(f"low is {self.low:g} and high is {self.high:g}; low must not exceed high")
        return self


def canny(image: "Tensor", low: float, high: float) -> "Tensor":
    """mean((image - edges)^2) over pixels and channels; edges: 0 or 1, cv2.Canny of the image, a constant.

    The published code casts an image of 0..1 to uint8, which leaves almost every pixel 0 and no edge at all, so that it
    minimises mean(image^2) and merely darkens. Here the detector sees the image as 0..255. It darkens all the same: nine
    tenths of the gradient lie on pixels that are no edges, whose target is black. `soft_canny` draws edges.
    """
    import cv2
    import numpy as np
    import torch

    with torch.no_grad():
        pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        maps = np.stack([cv2.Canny(np.ascontiguousarray(picture), low, high) for picture in pixels])
        edges = torch.from_numpy(maps).to(image)[:, None] / 255
    return (image - edges).square().mean(dim=(1, 2, 3))


CANNY = Loss(
    name="canny",
    params=CannyParams,
    function=canny,
    formula="mean (image - edges)^2, edges: 0 or 1 by OpenCV's Canny, held constant",
    range="0 to 1",
    does="darkens what is no edge, which is most of a picture; soft_canny draws edges",
    source="The School of AI, course Extensive Vision AI 8, assignment 14, its cast to uint8 corrected",
)
