"""How far pictures are apart, pair by pair, with small copies of them; needs no model, and knows nothing of what they show.

What these distances cannot say: the same owl mirrored or moved is far away, and another animal before the same wall is near.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from latentpress.measures.picture import Pixels

# Pixels of a side of the small copies: composition and colours stay, and a shift by a few of 512 pixels counts little.
SIDE = 64
# Pictures of which all pairs are measured (4,950); of a larger group as many at even distances.
MOST = 100
# SSIM's window and constants, as Wang et al. and scikit-image's default have them.
_WINDOW = 7
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


@dataclass(frozen=True)
class Distances:
    """Means over the pairs of a group of pictures. pairs: how many they were; pixels, structure: as in the functions."""

    pairs: int
    pixels: float
    structure: float


def small(picture: Pixels) -> Pixels:
    """(SIDE, SIDE, 3): the picture, each pixel the mean of those that it covers, whatever its proportions were."""
    import cv2

    return np.asarray(cv2.resize(np.ascontiguousarray(picture), (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def distances(pictures: Sequence[Pixels]) -> Distances | None:
    """The mean distances of all pairs of `pictures`, which are small; None of fewer than two."""
    if len(pictures) > MOST:
        pictures = [pictures[round(at)] for at in np.linspace(0, len(pictures) - 1, MOST)]
    if len(pictures) < 2:
        return None
    apart = pixel_distances(pictures)
    return Distances(len(apart), float(np.mean(apart)), float(np.mean(structure_distances(pictures))))


def pixel_distances(pictures: Sequence[Pixels]) -> NDArray[np.float64]:
    """Of each pair sqrt(mean((a - b)^2)) over all pixels and channels, in 0..1: colours and composition.

    Pairs as `itertools.combinations` has them. 0 is equal, 1 black beside white; two of noise are 0.41 apart where pictures
    are as large as the small copies.
    """
    # Sums of products of whole numbers below 2^53, so that float64 has them exactly and equal pictures are at 0.
    flat = np.array([picture.ravel() for picture in pictures], np.float64)
    squares = np.sum(flat * flat, axis=1)
    apart = squares[:, None] + squares[None, :] - 2 * (flat @ flat.T)
    return np.sqrt(apart[np.triu_indices(len(pictures), 1)] / flat.shape[1]) / 255


def structure_distances(pictures: Sequence[Pixels]) -> NDArray[np.float64]:
    """Of each pair 1 - SSIM of Y': what lies where, whatever its colour; 0 is equal, about 1 unrelated, at most 2.

    Source: Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment", IEEE Trans. Image Processing 13
    (2004), with even windows of 7 x 7 pixels, as scikit-image's default.
    """
    import cv2

    edge = _WINDOW // 2
    # The covariance of a sample, as scikit-image takes it.
    sample = _WINDOW**2 / (_WINDOW**2 - 1)

    def local(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.blur(values, (_WINDOW, _WINDOW)), np.float64)[edge:-edge, edge:-edge]

    greys = [np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float64) for picture in pictures]
    means = [local(one) for one in greys]
    variances = [sample * (local(one * one) - mean * mean) for one, mean in zip(greys, means, strict=True)]

    def similarity(a: int, b: int) -> float:
        product = means[a] * means[b]
        covariance = sample * (local(greys[a] * greys[b]) - product)
        above = (2 * product + _C1) * (2 * covariance + _C2)
        below = (means[a] ** 2 + means[b] ** 2 + _C1) * (variances[a] + variances[b] + _C2)
        return float(np.mean(above / below))

    return np.array([1 - similarity(a, b) for a, b in combinations(range(len(pictures)), 2)], np.float64)
