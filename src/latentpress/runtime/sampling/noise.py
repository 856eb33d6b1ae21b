"""One CPU generator per image, for its initial and its ancestral noise, drawn as diffusers draws them."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    pass


class NoiseSource:
    """Unit normal float32 noise (channels, height, width) from `seed` alone, draw after draw.

    torch's CPU generator, because a seed then means the same picture as in diffusers: CPU draws depend neither on
    the thread count nor on a GPU's size, and a single image's draw equals `randn_tensor`'s with its own generator.
    """

    def __init__(self, seed: int) -> None:
        import torch

        self._generator: torch.Generator = torch.Generator("cpu").manual_seed(seed)

    def draw(self, channels: int, height: int, width: int) -> NDArray[np.float32]:
        """The next draw; height and width in latent pixels."""
        import torch

        shape = (1, channels, height, width)
        return torch.randn(shape, generator=self._generator, dtype=torch.float32)[0].numpy()
