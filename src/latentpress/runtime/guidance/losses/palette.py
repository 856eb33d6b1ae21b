"""The palette loss: draws every pixel to the nearest of some colours."""

from typing import TYPE_CHECKING

from pydantic import field_validator

from latentpress.runtime.guidance.loss import Loss, LossParams

if TYPE_CHECKING:
    from torch import Tensor

_MOST = 64
# Of squared distance: colours that are nearer to each other than sqrt(0.01) share a pixel.
_TEMPERATURE = 0.01


class PaletteParams(LossParams):
    """colours: 1 to 64 of them, by CSS name or as #rrggbb, parted by spaces."""

    colours: str = "#264653 #2a9d8f #e9c46a #f4a261 #e76f51"

    @field_validator("colours")
    @classmethod
    def _known(cls, text: str) -> str:
        _ = rgb(text)
        return text


def rgb(text: str) -> list[tuple[float, float, float]]:
    """The colours of `text`, each (R, G, B) in 0..1. Raises ValueError."""
    from latentpress.runtime.pictures.reading import colour

    names = text.replace(",", " ").split()
    if not 1 <= len(names) <= _MOST:
        raise ValueError(f"a palette has 1 to {_MOST} colours, such as 'navy #e9c46a white'")
    found: list[tuple[float, float, float]] = []
    for name in names:
        if (known := colour(name)) is None:
            raise ValueError(f"{name!r} is not an opaque colour; write a CSS name or '#rrggbb'")
        red, green, blue = (int(known[at : at + 2], 16) / 255 for at in (1, 3, 5))
        found.append((red, green, blue))
    return found


def palette(image: "Tensor", colours: str) -> "Tensor":
    """mean over the pixels of sum_k w_k d_k; d_k: mean over channels of (x - colour_k)^2, w = softmax_k(-d / 0.01)."""
    known = image.new_tensor(rgb(colours))
    distances = (image[:, None] - known[None, :, :, None, None]).square().mean(dim=2)
    weights = (-distances / _TEMPERATURE).softmax(dim=1)
    return (weights * distances).sum(dim=1).mean(dim=(1, 2))


PALETTE = Loss(
    name="palette",
    params=PaletteParams,
    function=palette,
    formula="mean sum_k w_k d_k, d_k: squared distance to colour k, w = softmax(-d / 0.01)",
    range="0 to 1",
    does="draws each pixel to the nearest of some colours",
    source="latentpress's own",
)
