"""Numbers of one picture, from its pixels alone: brightness, contrast, colour and sharpness.

Each function takes uint8 RGB (H, W, 3), encoded by sRGB's curve as files hold it, and knows nothing of how it was made.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def luma(picture: Pixels) -> float:
    """mean(Y'), Y' = 0.299 R' + 0.587 G' + 0.114 B'; 0 (black) to 1 (white). Source: ITU-R BT.601-7.

    Of encoded values and not of linear light, so a middle grey has about 0.5, as it looks.
    """
    return float(np.mean(grey(picture)) / 255)


def contrast(picture: Pixels) -> float:
    """RMS contrast: the standard deviation of Y' over the pixels; 0 (of one grey) to 0.5 (half black, half white).

    Source: E. Peli, "Contrast in complex images", J. Opt. Soc. Am. A 7 (1990).
    """
    return float(np.std(grey(picture)) / 255)


def saturation(picture: Pixels) -> float:
    """mean((max - min) / max) of R', G', B', 0 of a black pixel; 0 (greys) to 1 (pure colours).

    Source: A. R. Smith, "Color gamut transform pairs", SIGGRAPH 1978 (HSV). Dark pixels count as much as bright ones.
    """
    red, green, blue = np.moveaxis(picture, -1, 0)
    highest = np.maximum(np.maximum(red, green), blue)
    lowest = np.minimum(np.minimum(red, green), blue)
    return float(np.mean((highest - lowest) / np.maximum(highest, 1)))


def colourfulness(picture: Pixels) -> float:
    """sqrt(sigma_rg^2 + sigma_yb^2) + 0.3 sqrt(mu_rg^2 + mu_yb^2), rg = R' - G', yb = (R' + G') / 2 - B' in 0..255.

    0 (greys) to at most 298. Source: D. Hasler, S. Süsstrunk, "Measuring colorfulness in natural images", Proc. SPIE 5007
    (2003), whose viewers called 15 slightly, 33 moderately, 59 quite and 109 extremely colourful.
    """
    red, green, blue = np.moveaxis(picture.astype(np.float64), -1, 0)
    opponents = red - green, (red + green) / 2 - blue
    deviations, means = [float(np.std(one)) for one in opponents], [float(np.mean(one)) for one in opponents]
    return math.hypot(*deviations) + 0.3 * math.hypot(*means)


def sharpness(picture: Pixels) -> float:
    """The variance over the pixels of the Laplacian (0 1 0, 1 -4 1, 0 1 0) of Y' in 0..255, edges mirrored; from 0 on.

    Source: J. L. Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000. Noise and texture count
    as sharp, and the same motif in more pixels as less so: compare pictures of one size.
    """
    import cv2

    return float(np.var(cv2.Laplacian(grey(picture), cv2.CV_64F)))


def grey(picture: Pixels) -> NDArray[np.float64]:
    """(H, W): Y' of each pixel, 0..255, not rounded."""
    return picture.astype(np.float64) @ np.array([0.299, 0.587, 0.114])


# Column -> what it is the mean of; the order in which tables have them.
MEASURES: Mapping[str, Callable[[Pixels], float]] = {
    "luma": luma,
    "contrast": contrast,
    "saturation": saturation,
    "colourfulness": colourfulness,
    "sharpness": sharpness,
}
