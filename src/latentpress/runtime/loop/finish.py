"""Finished trajectories -> pictures, or why there is none: between two UNet calls, or in a thread beside them.

Beside them the UNet's next call waits neither for the decoder nor for the conversion to uint8. On a CPU, where one call
fills every core, two at once only take them from each other (measured: docs/performance.md).
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from latentpress.bundle.inputs import MICRO_BATCH
from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.loop.trajectory import K, Trajectory
from latentpress.runtime.pictures.decode import Decoder

# Trajectories that may wait for the decoder before the denoising waits for it: eight calls' worth.
_WAITING = 8 * MICRO_BATCH


@dataclass(frozen=True, eq=False)
class Rendered(Generic[K]):
    """A finished picture, or why there is none.

    image: (H, W, 3) uint8, None where `error` says why; seconds: from its first step to its pixels, shared with its
    batch mates; losses: each loss's unscaled value on the picture.
    """

    key: K
    image: NDArray[np.uint8] | None
    error: str | None
    seconds: float
    losses: Mapping[str, float] = field(default_factory=dict[str, float])


class Finisher(Generic[K]):
    """Decodes what the denoising finishes. `put` hands trajectories in, `ready` gives what is done, `rest` the rest.

    losses: by name, those whose values are taken of the pictures.
    beside: in a thread of its own, which takes up to MICRO_BATCH of those that wait by then; else within `put`.
    """

    def __init__(self, decoder: Decoder, losses: Mapping[str, Loss], *, beside: bool) -> None:
        self._decoder = decoder
        self._losses = losses
        self._pool = ThreadPoolExecutor(1, "decode") if beside else None
        self._waiting: deque[Trajectory[K]] = deque()
        self._decoding: deque[Future[None]] = deque()
        self._done: deque[Rendered[K]] = deque()

    def __enter__(self) -> "Finisher[K]":
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def put(self, finished: Sequence[Trajectory[K]]) -> None:
        """Take `finished`; waits where too many wait for the decoder, and raises what the decoder raised."""
        if not finished:
            return
        self._waiting.extend(finished)
        if self._pool is None:
            self._decode()
            return
        self._decoding.append(self._pool.submit(self._decode))
        while self._decoding and (self._decoding[0].done() or len(self._waiting) > _WAITING):
            self._decoding.popleft().result()

    def ready(self) -> Iterator[Rendered[K]]:
        """What is decoded by now."""
        while self._done:
            yield self._done.popleft()

    def rest(self) -> Iterator[Rendered[K]]:
        """What is still to come: waits for the decoder."""
        while self._decoding:
            self._decoding.popleft().result()
        yield from self.ready()

    def _decode(self) -> None:
        while self._waiting:
            batch: list[Trajectory[K]] = []
            # What a turn finishes has one size; what waits longer may not.
            while self._waiting and len(batch) < MICRO_BATCH and _alike(self._waiting[0], batch):
                batch.append(self._waiting.popleft())
            self._done.extend(self._pictures(batch))

    def _pictures(self, batch: Sequence[Trajectory[K]]) -> Iterator[Rendered[K]]:
        sound = [trajectory for trajectory in batch if np.isfinite(trajectory.latents).all()]
        for trajectory in batch:
            if trajectory not in sound:
                yield _failed(trajectory, "the latents became NaN or infinite; lower the loss or guidance scale")
        pictures = self._decoder([trajectory.latents for trajectory in sound])
        for trajectory, picture in zip(sound, pictures, strict=True):
            if picture is None:
                yield _failed(trajectory, "the VAE decoder gave NaN or infinite pixels; use a float32 VAE")
            else:
                yield _done(trajectory, picture, self._losses)


def _alike(trajectory: Trajectory[K], batch: Sequence[Trajectory[K]]) -> bool:
    return not batch or trajectory.latents.shape == batch[0].latents.shape


def _failed(trajectory: Trajectory[K], why: str) -> Rendered[K]:
    return Rendered(trajectory.key, None, why, time.perf_counter() - trajectory.started)


def _done(trajectory: Trajectory[K], picture: NDArray[np.uint8], losses: Mapping[str, Loss]) -> Rendered[K]:
    values: dict[str, float] = {}
    if trajectory.request.losses:
        from latentpress.runtime.guidance.gradient import picture_losses

        unit = (np.moveaxis(picture, -1, 0) / 255).astype(np.float32)
        values = picture_losses(unit, trajectory.request.losses, losses)
    return Rendered(trajectory.key, picture, None, time.perf_counter() - trajectory.started, values)
