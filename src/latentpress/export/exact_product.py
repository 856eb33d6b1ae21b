"""A product of matrices with the same bits on every CPU, whatever library multiplies and in how many threads.

BLAS sums in an order, and with fused steps or not, that depend on the CPU's vector units: two machines that fuse one LoRA
get weights that differ in their last bits. Here the factors are cut into whole numbers so small that every partial sum fits
float64 exactly, and so comes out the same in any order (Ozaki et al., Numerical Algorithms 59, 2012).
"""

import numpy as np
import torch
from torch import Tensor

# Bits of a piece. Two of them cover float32's 24 from the largest number of a row down, and 24 more.
_BITS = 23
# Terms of a sum: 2^23 * 2^23 * 128 = 2^53, the last whole number up to which float64 has all. A low piece is at most 2^22.
_TERMS = 128
# Rows and columns of the result that are computed at a time: 2 MB in float64, which a core's cache holds.
_SIDE = 512


def product(left: Tensor, right: Tensor) -> Tensor:
    """(m, k) @ (k, n) in float32, to about 2^-46 of the largest terms before it is rounded once."""
    if left.is_meta or right.is_meta:
        return left @ right
    result = torch.zeros(left.shape[0], right.shape[1])
    (a, b), (c, d) = _pieces(left, 1), _pieces(right, 0)
    parts = [slice(first, first + _TERMS) for first in range(0, left.shape[1], _TERMS)]
    terms = [
        ((a[:, part], c[part]), (torch.cat([a[:, part], b[:, part]], 1), torch.cat([d[part], c[part]])))
        for part in parts
    ]
    for top in range(0, left.shape[0], _SIDE):
        rows = slice(top, top + _SIDE)
        for side in range(0, right.shape[1], _SIDE):
            columns = slice(side, side + _SIDE)
            # Each a sum of whole numbers, in whatever order; what they come to is added in this one.
            found = [one[rows] @ other[:, columns] for pair in terms for one, other in pair]
            result[rows, columns] = sum(found[1:], found[0])
    return result


def _pieces(matrix: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Two float64 matrices, `matrix` in their sum but for 2^-47 of its row's or column's largest number.

    axis: along which products are summed; along it the numbers of a piece are whole multiples, up to 2^23, of one power
    of two.
    """
    wide = matrix.double()
    most = wide.abs().amax(axis, keepdim=True).numpy()
    exponent = np.frexp(most)[1] - _BITS
    # By the C library: powers of two to the bit, by which a number is multiplied without rounding.
    down, up = (torch.from_numpy(np.ldexp(np.ones_like(most), sign * exponent)) for sign in (-1, 1))
    whole = wide * down
    high = whole.round()
    low = ((whole - high) * 2.0**_BITS).round() * 2.0**-_BITS
    return high * up, low * up
