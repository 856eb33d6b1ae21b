"""One generator per image, for its initial and its ancestral noise, drawn as diffusers draws them."""

import numpy as np
from numpy.typing import NDArray

from latentpress.runtime.sampling.generator import Generator


class NoiseSource:
    """Unit normal float32 noise (channels, height, width) from `seed` alone, draw after draw.

    A seed means the same picture as in diffusers: a single image's draw equals that of diffusers' `randn_tensor` with a
    CPU generator of its own.
    """

    def __init__(self, seed: int) -> None:
        self._generator = Generator(seed)

    def draw(self, channels: int, height: int, width: int) -> NDArray[np.float32]:
        """The next draw; height and width in latent pixels."""
        return self._generator.normal((channels, height, width))
