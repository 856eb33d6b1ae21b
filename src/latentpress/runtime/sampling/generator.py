"""Normal draws from a seed: the bits of torch's CPU generator, from numpy alone and the same on every CPU.

A seed means the picture it means in diffusers, whose noise is `torch.randn` on the CPU. torch's own bits depend on the
CPU: this is what its AVX2 and AVX-512 kernels give, from which its `default` kernel differs in the last bits of a third
of the values.

Read from torch 2.13, whose source says how: ATen/core/MT19937RNGEngine.h, ATen/core/DistributionsHelper.h (fewer than 16
values), ATen/native/cpu/DistributionTemplates.h (16 and more) and ATen/native/cpu/avx_mathfun.h (logarithm, sine and
cosine: the single-precision ones of S. Moshier's Cephes library, as vectorised by J. Pommier and G. Garberoglio).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Drawn = NDArray[Any]  # either of them

BLOCK = 16  # values torch makes at a time: eight radii and eight angles give eight cosines and eight sines

_TWO_PI = np.float32(2 * math.pi)
_SQRT_HALF = np.float32(math.sqrt(0.5))
# Cephes' logf: log(1 + x) = x - x^2/2 + x^3 * P(x), highest power first, and log(2) in two parts, the first of few bits.
_LOG_P = np.asarray(
    [
        7.0376836292e-2,
        -1.1514610310e-1,
        1.1676998740e-1,
        -1.2420140846e-1,
        1.4249322787e-1,
        -1.6668057665e-1,
        2.0000714765e-1,
        -2.4999993993e-1,
        3.3333331174e-1,
    ],
    np.float32,
)
_LOG_2 = np.asarray([0.693359375, -2.12194440e-4], np.float32)
# Cephes' sinf and cosf: 4/pi; pi/4 in three parts; sin(x) = x + x^3 * S(x^2), cos(x) = 1 - x^2/2 + x^4 * C(x^2).
_FOUR_OVER_PI = np.float32(4 / math.pi)
_PI_OVER_FOUR = np.asarray([0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8], np.float32)
_SIN_S = np.asarray([-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1], np.float32)
_COS_C = np.asarray([2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2], np.float32)


class Generator:
    """`torch.Generator("cpu").manual_seed(seed)`, whose draws follow on one another, for `torch.randn` alone.

    seed: an integer; only its low 32 bits count, as in torch.

    float32 draws of 16 values and more are made of operations that IEEE 754 defines to the last bit, and so are the same
    on every CPU. The others (fewer values, or float64) take logarithm, sine and cosine in double precision from the C
    library, as torch does: they are torch's bits on the same machine, and another C library may move the last bit of a
    double, which float32 hides but for fewer than one value in 10^8.
    """

    def __init__(self, seed: int) -> None:
        # The classic initialisation of MT19937, which numpy keeps in its frozen class only.
        self._words = np.random.RandomState(seed & 0xFFFFFFFF)
        self._kept: float | None = None

    def normal(self, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> Drawn:
        """What `torch.randn(shape, generator=self, dtype=dtype)` gives next; dtype: float32 or float64."""
        count = math.prod(shape)
        if count < BLOCK:
            values = np.asarray([self._single() for _ in range(count)], dtype)
        elif np.dtype(dtype) == np.float64:
            values = _blocks(count, self._uniform64, _box_muller64)
        else:
            values = _blocks(count, self._uniform32, _box_muller32)
        return values.reshape(shape)

    def _raw(self, count: int) -> NDArray[np.uint32]:
        return self._words.randint(0, 1 << 32, count, dtype=np.uint32)

    def _uniform32(self, count: int) -> Float32:
        """0 <= u < 1, from 24 bits of one word each."""
        return (self._raw(count) & np.uint32(0xFFFFFF)).astype(np.float32) * np.float32(2**-24)

    def _uniform64(self, count: int) -> Float64:
        """0 <= u < 1, each from 53 bits of two words, the high word first."""
        high, low = self._raw(2 * count).reshape(count, 2).astype(np.uint64).T
        return ((high & np.uint64(0x1FFFFF)) << np.uint64(32) | low).astype(np.float64) * 2.0**-53

    def _single(self) -> float:
        """A value of a draw of fewer than 16: two come of a pair of uniforms, the second kept for whoever asks next."""
        if (kept := self._kept) is not None:
            self._kept = None
            return kept
        angle, squared = self._uniform64(2).tolist()
        radius, angle = math.sqrt(-2 * math.log1p(-squared)), 2 * math.pi * angle
        self._kept = radius * math.sin(angle) + 0.0  # as below
        return radius * math.cos(angle) + 0.0


def _blocks(count: int, uniform: Callable[[int], Drawn], box_muller: Callable[[Drawn], Drawn]) -> Drawn:
    """`count` >= 16 values; unless that is a multiple of 16, torch draws the last 16 again, from uniforms of their own."""
    whole = count - count % BLOCK
    values = box_muller(uniform(count)[:whole])
    if whole == count:
        return values
    return np.concatenate([values[: count - BLOCK], box_muller(uniform(BLOCK))])


def _box_muller32(uniforms: Float32) -> Float32:
    """Of each block of 16, eight radius * cos(angle) and eight radius * sin(angle) (Box and Muller, 1958)."""
    radii, angles = uniforms.reshape(-1, 2, BLOCK // 2).transpose(1, 0, 2)
    radius = np.sqrt(np.float32(-2) * log32(np.float32(1) - radii))
    sine, cosine = sincos32(_TWO_PI * angles)
    # torch goes on to multiply by 1 and to add 0, which makes 0 of -0.
    return np.stack([radius * cosine, radius * sine], axis=1).ravel() + np.float32(0)


def _box_muller64(uniforms: Float64) -> Float64:
    """The same in double precision, by the C library's functions: slow, for comparisons in float64."""
    radii, angles = uniforms.reshape(-1, 2, BLOCK // 2).transpose(1, 0, 2)
    radius = np.sqrt(-2 * _libm(math.log, 1 - radii))
    angle = 2 * math.pi * angles
    return np.stack([radius * _libm(math.cos, angle), radius * _libm(math.sin, angle)], axis=1).ravel() + 0.0


def _libm(function: Callable[[float], float], values: Float64) -> Float64:
    # numpy's own are other ones on a CPU with AVX-512.
    return np.asarray([function(value) for value in values.ravel().tolist()]).reshape(values.shape)


def log32(u: Float32) -> Float32:
    """avx_mathfun's natural logarithm of 0 < u <= 1, as compiled: a product that a sum follows is fused with it."""
    bits = u.view(np.int32)
    mantissa = ((bits & 0x7FFFFF) | 0x3F000000).view(np.float32)  # in 0.5 .. 1
    exponent = ((bits >> 23) - 126).astype(np.float32)
    small = mantissa < _SQRT_HALF
    exponent -= small.astype(np.float32)
    x = np.where(small, mantissa + mantissa, mantissa) - np.float32(1)
    squared = x * x
    y = _fused(_polynomial(_LOG_P, x) * x, squared, exponent * _LOG_2[1])
    return _fused(exponent, _LOG_2[0], x + _fused(squared, np.float32(-0.5), y))


def sincos32(angle: Float32) -> tuple[Float32, Float32]:
    """avx_mathfun's sine and cosine of an angle >= 0, as compiled: products are fused as in `log32`."""
    # Eighths of a turn, rounded to whole quarters: the x left over lies in -pi/4 .. pi/4.
    octant = ((angle * _FOUR_OVER_PI).astype(np.int32) + 1) & ~1
    turned = octant.astype(np.float32)
    x: Float32 = angle
    for part in _PI_OVER_FOUR:
        x = _fused(turned, -part, x)
    squared: Float32 = x * x
    cosine = _fused(_polynomial(_COS_C, squared) * squared, squared, squared * np.float32(-0.5)) + np.float32(1)
    sine = _fused(_polynomial(_SIN_S, squared) * squared, x, x)
    sideways = (octant & 2) != 0
    sine, cosine = np.where(sideways, cosine, sine), np.where(sideways, sine, cosine)
    return np.where(octant & 4, -sine, sine), np.where((octant + 2) & 4, -cosine, cosine)


def _polynomial(coefficients: Iterable[np.float32], x: Float32) -> Float32:
    """Horner's rule, highest power first, each step fused."""
    first, second, *rest = coefficients
    value = _fused(x, first, second)
    for coefficient in rest:
        value = _fused(value, x, coefficient)
    return value


def _fused(a: Float32, b: Float32 | np.float32, c: Float32 | np.float32) -> Float32:
    """a * b + c in float32, rounded once, as a fused multiply-add rounds.

    A float64 holds the product exactly; the sum is rounded twice, which could differ from once, and was held to exact
    arithmetic for each of the 2^24 arguments that `log32` and `sincos32` can be given here: it never does.
    """
    return (np.multiply(a, b, dtype=np.float64) + c).astype(np.float32)
