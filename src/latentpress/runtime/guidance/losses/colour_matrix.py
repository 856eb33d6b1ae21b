"""The colour matrix loss: draws every pixel to what a matrix makes of it."""

from typing import TYPE_CHECKING

from pydantic import field_validator

from latentpress.runtime.guidance.loss import Loss, LossParams

if TYPE_CHECKING:
    from torch import Tensor


class ColourMatrixParams(LossParams):
    """matrix: nine numbers, row by row: of the new red the shares of red, green and blue, then of green, then of blue."""

    matrix: str = "0 0 0 0 1 0 0 0 1"

    @field_validator("matrix")
    @classmethod
    def _nine(cls, text: str) -> str:
        _ = numbers(text)
        return text


def numbers(text: str) -> list[float]:
    """The nine numbers of a matrix, which spaces, commas or semicolons part. Raises ValueError."""
    parts = text.replace(",", " ").replace(";", " ").split()
    try:
        found = [float(part) for part in parts]
    except ValueError:
        found = []
    if len(found) != 9 or not all(abs(one) <= 10 for one in found):
        raise ValueError("a matrix is nine numbers from -10 to 10, row by row, such as '0 0 0 0 1 0 0 0 1'")
    return found


def colour_matrix(image: "Tensor", matrix: str) -> "Tensor":
    """mean (x - M x)^2 over pixels and channels; x: a pixel's (R, G, B). It is 0 where M leaves each pixel as it is."""
    import torch

    rows = image.new_tensor(numbers(matrix)).reshape(3, 3)
    return (image - torch.einsum("ij,bjhw->bihw", rows, image)).square().mean(dim=(1, 2, 3))


COLOUR_MATRIX = Loss(
    name="colour_matrix",
    params=ColourMatrixParams,
    function=colour_matrix,
    formula="mean (x - M x)^2, x: a pixel's (R, G, B), M: the matrix",
    range="0 upwards",
    does="draws each pixel to what a matrix of nine numbers makes of it; the default takes the red out",
    source="latentpress's own",
)
