"""Latents -> uint8 pictures through the VAE decoder, batched on its own."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from latentpress.bundle.inputs import MICRO_BATCH
from latentpress.engines.engine import Session

# What `Decoder` does.
Decode = Callable[[Sequence[NDArray[np.float32]]], list[NDArray[np.uint8] | None]]


class Decoder:
    """Latents (C, h, w) -> pictures (H, W, 3) uint8; None for a picture with NaN or infinite pixels."""

    def __init__(self, session: Session, scaling_factor: float) -> None:
        self._session = session
        self._scaling_factor = np.float32(scaling_factor)

    def __call__(self, latents: Sequence[NDArray[np.float32]]) -> list[NDArray[np.uint8] | None]:
        """One picture per latents. Their size may differ from call to call, but not within a call."""
        pictures: list[NDArray[np.uint8] | None] = []
        for start in range(0, len(latents), MICRO_BATCH):
            batch = np.stack(latents[start : start + MICRO_BATCH]) / self._scaling_factor
            pictures += [_to_uint8(image) for image in self._session.run({"latents": batch})["sample"]]
        return pictures


def _to_uint8(image: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """(3, H, W) in -1..1 -> (H, W, 3) 0..255, rounded as diffusers' VaeImageProcessor rounds."""
    if not np.isfinite(image).all():
        return None
    unit = np.clip(image / 2 + 0.5, 0, 1)
    return np.ascontiguousarray(np.moveaxis((unit * 255).round().astype(np.uint8), 0, -1))
