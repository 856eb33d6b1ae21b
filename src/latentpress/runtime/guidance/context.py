"""What a loss may ask for beside the image: the latents, the step, randomness of the picture's own. Plain data, no torch.

A loss names what it takes of it (`Loss.wants`), and gets that and nothing else.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from latentpress.runtime.request import LossSpec

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True)
class Moment:
    """Where the making of a picture is: its seed, its step, counted from 0, and how many steps it has.

    A finished picture is at `step` == `steps`.
    """

    seed: int
    step: int
    steps: int

    @property
    def noise_seed(self) -> int:
        """What a loss's generator is seeded with, 0 .. 2**64-1: of this seed and step alone, unlike any other's."""
        return self._seed_of("loss")

    @property
    def sample_seed(self) -> int:
        """As `noise_seed`, of the noise around x0 in which the method `x0_mc` averages losses."""
        return self._seed_of("x0_mc")

    def _seed_of(self, use: str) -> int:
        return int.from_bytes(hashlib.sha256(f"{use} {self.seed} {self.step}".encode()).digest()[:8], "big")


Encode = Callable[["Tensor"], list["Tensor"]]


def _no_encoder(image: "Tensor") -> list["Tensor"]:
    raise AssertionError("a loss that encodes was computed without an encoder")


@dataclass(frozen=True, eq=False)
class Ask:
    """What is asked for one image: the gradient of the sum of `losses` by its x0 (4, h, w), at `moment` of its making."""

    x0: NDArray[np.float32]
    losses: Sequence[LossSpec]
    moment: Moment


# The answer: d(sum_k scale_k * loss_k)/dx0, as x0, and each loss's unscaled value.
Gradient = tuple[NDArray[np.float32], tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class Context:
    """What surrounds the image of one loss at one moment.

    latents: (1, C, h, w), the x0 that the image was decoded from, differentiable; of a finished picture its latents;
    step, steps: as in `Moment`; generator: torch's, on the CPU, seeded with `Moment.noise_seed`, so that its numbers are the
    same on every engine and in every batch. Each loss has one of its own;
    encode: an image (1, 3, H, W) or (3, H, W), about 0..1, to features of the bundle's VAE encoder, (1, C, h, w) at each
    resolution, the largest first (encoder.py).
    """

    latents: "Tensor"
    step: int
    steps: int
    generator: "Generator"
    encode: "Encode" = _no_encoder


# What `Loss.wants` may name.
WANTS = frozenset(field.name for field in fields(Context))
