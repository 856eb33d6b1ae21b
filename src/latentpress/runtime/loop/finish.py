"""Finished trajectories -> pictures, or why there are none: between two UNet calls, or in parallel in a thread.

In parallel, the UNet's next call waits neither for the decoder nor for the conversion to uint8. On a CPU, where one call
fills every core, two at once only slow each other down (measured in docs/performance.md).
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from latentpress.bundle.inputs import MICRO_BATCH
from latentpress.runtime.guidance.context import Encode
from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.loop.failure import Failure, failure_of
from latentpress.runtime.loop.overseer import NoOverseer, Overseer
from latentpress.runtime.loop.trajectory import Trajectory
from latentpress.runtime.pictures.decode import Decode
from latentpress.runtime.request import K, Origin, Rendered

# How many trajectories may wait for the decoder before the denoising waits for it: eight calls' worth.
_WAITING = 8 * MICRO_BATCH
_DECODER = "the VAE decoder"
_NOT_FINITE = Failure("not_finite", "the latents became NaN or infinite; lower the loss or guidance scale")
_NO_PIXELS = Failure("not_finite", "the VAE decoder gave NaN or infinite pixels; use a float32 VAE")

# A finished trajectory, and what its last UNet call was made on.
_Undecoded = tuple[Trajectory[K], Origin]


class Finisher(Generic[K]):
    """Decodes what the denoising finishes. `put` hands trajectories in, `ready` gives what is done, `rest` the rest.

    losses: by name, those whose values are measured on the pictures; encode: for those that compare features.
    beside: decode in a thread, up to MICRO_BATCH of those that are waiting at a time; else decode within `put`.
    """

    def __init__(
        self,
        decoder: Decode,
        losses: Mapping[str, Loss],
        encode: Encode | None = None,
        *,
        beside: bool,
        overseer: Overseer | None = None,
    ) -> None:
        self._decoder = decoder
        self._losses, self._encode = losses, encode
        self._overseer = overseer or NoOverseer()
        self._pool = ThreadPoolExecutor(1, "decode") if beside else None
        self._waiting: deque[_Undecoded[K]] = deque()
        self._decoding: deque[Future[None]] = deque()
        self._done: deque[Rendered[K]] = deque()

    def __enter__(self) -> "Finisher[K]":
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def put(self, finished: Sequence[Trajectory[K]], origin: Origin) -> None:
        """Take `finished`, made on `origin`; waits where too many wait for the decoder, raises what the decoder raised."""
        self._waiting.extend((trajectory, origin) for trajectory in finished)
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
            batch: list[_Undecoded[K]] = []
            # What a turn finishes has one size; what waits longer may not.
            while self._waiting and len(batch) < MICRO_BATCH and _alike(self._waiting[0], batch):
                batch.append(self._waiting.popleft())
            self._done.extend(self._pictures(batch))
            self._overseer.begins(_DECODER, ())

    def _pictures(self, batch: Sequence[_Undecoded[K]]) -> Iterator[Rendered[K]]:
        sound: list[_Undecoded[K]] = []
        for trajectory, origin in batch:
            if np.isfinite(trajectory.latents).all():
                sound.append((trajectory, origin))
            else:
                yield failed(trajectory, origin, _NOT_FINITE)
        for (trajectory, origin), picture in zip(sound, self._decoded([one for one, _ in sound]), strict=True):
            if isinstance(picture, Failure):
                yield failed(trajectory, origin, picture)
                continue
            try:
                yield _done(trajectory, origin, picture, self._losses, self._encode)
            except Exception as error:
                yield failed(trajectory, origin, failure_of(error, "measuring the losses", trajectory.request))

    def _decoded(self, sound: Sequence[Trajectory[K]]) -> list[NDArray[np.uint8] | Failure]:
        """The pixels of each, or why there are none; a call that raises is taken apart."""
        self._overseer.begins(_DECODER, [trajectory.key for trajectory in sound])
        try:
            pictures = self._decoder([trajectory.latents for trajectory in sound])
        except Exception as error:
            if len(sound) == 1:
                return [failure_of(error, _DECODER, sound[0].request)]
            half = len(sound) // 2
            return [*self._decoded(sound[:half]), *self._decoded(sound[half:])]
        return [_NO_PIXELS if picture is None else picture for picture in pictures]


def _alike(one: _Undecoded[K], batch: Sequence[_Undecoded[K]]) -> bool:
    return not batch or one[0].latents.shape == batch[0][0].latents.shape


def failed(trajectory: Trajectory[K], origin: Origin, why: Failure) -> Rendered[K]:
    """What comes of a trajectory that cannot be finished."""
    seconds, guided = time.perf_counter() - trajectory.started, tuple(trajectory.guided)
    return Rendered(trajectory.key, None, why.error, seconds, _of(trajectory, origin), cause=why.cause, guided=guided)


def _of(trajectory: Trajectory[K], origin: Origin) -> Origin:
    """`origin`, without what computes gradients where the picture has none."""
    return origin if trajectory.request.losses else replace(origin, gradient="")


def _done(
    trajectory: Trajectory[K],
    origin: Origin,
    picture: NDArray[np.uint8],
    losses: Mapping[str, Loss],
    encode: Encode | None,
) -> Rendered[K]:
    values: tuple[tuple[str, float], ...] = ()
    if trajectory.request.losses:
        from latentpress.runtime.guidance.gradient import picture_losses

        unit = (np.moveaxis(picture, -1, 0) / 255).astype(np.float32)
        values = picture_losses(unit, trajectory.latents, trajectory.request.losses, trajectory.moment, losses, encode)
    seconds = time.perf_counter() - trajectory.started
    guided = tuple(trajectory.guided)
    return Rendered(trajectory.key, picture, None, seconds, _of(trajectory, origin), values, guided=guided)
