"""How alike two pictures are, pixel by pixel: PSNR and SSIM. Knows arrays alone."""

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

# The side, in pixels, of scikit-image's window by default; and of the smallest over which a variance can be had.
_WINDOW, _SMALLEST = 7, 3


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[float, int]:
    """Peak signal-to-noise ratio in dB, of a peak of 255 and over all channels; and the largest difference.

    a, b: of one shape, and not equal.
    """
    difference = np.abs(a.astype(np.int16) - b)
    mean_square = float(np.mean(np.square(difference, dtype=np.float64)))
    return 10 * math.log10(255**2 / mean_square), int(difference.max())


def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float | None:
    """scikit-image's structural similarity, mean of the channels; None without it, or where no window fits."""
    measure = structural_similarity()
    shorter = min(a.shape[:2])
    if measure is None or shorter < _SMALLEST:
        return None
    window = min(_WINDOW, shorter - 1 + shorter % 2)  # odd, and no larger than the picture
    return float(measure(a, b, win_size=window, channel_axis=-1, data_range=255))


@cache
def structural_similarity() -> "Callable[..., Any] | None":
    """scikit-image's function, None where the package is not installed."""
    try:
        from skimage.metrics import structural_similarity as found
    except ModuleNotFoundError:
        return None
    return found
