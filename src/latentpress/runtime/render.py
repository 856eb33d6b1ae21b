"""Requests in, pictures out: the runtime's front door, which runs the denoising loop over one bundle, or two.

Where requests name an SDXL refiner, the base runs a block of pictures up to the hand-over, the refiner the rest.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from latentpress.errors import UsageError
from latentpress.runtime.bundle import Bundle
from latentpress.runtime.denoise import denoise
from latentpress.runtime.engines.choice import EngineChoice
from latentpress.runtime.model import Model
from latentpress.runtime.modes import begin, hand_over
from latentpress.runtime.request import RenderRequest
from latentpress.runtime.session import Session
from latentpress.runtime.trajectory import K, Trajectory

# Pictures the base runs before the refiner takes them over: the latents of so many wait in memory (67 MB of 1024x1024),
# and the rows of the last few of a block run in smaller batches.
BLOCK = 256


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


class Renderer:
    """Renders requests through one bundle's engines, and those of the refiners that requests name.

    batch_rows: UNet rows a call takes at most, >= 2; threads: of the engines, None for all cores;
    sessions: given instead of opened for some of the bundle's components, by name; engine: what the others run on,
    by default what each bundle was exported for.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        batch_rows: int = 8,
        threads: int | None = None,
        sessions: Mapping[str, Session] | None = None,
        refiners: Sequence[Bundle] = (),
        engine: EngineChoice | None = None,
    ) -> None:
        if batch_rows < 2:
            raise UsageError(f"batch rows is {batch_rows}; classifier-free guidance needs at least 2")
        self.bundle = bundle
        self.batch_rows = batch_rows
        self._model = Model(bundle, threads, sessions, engine)
        self._refiners = {refiner.hash: Model(refiner, threads, engine=engine) for refiner in refiners}
        self.provider = self._model.unet.provider

    def render(
        self,
        requests: Iterable[tuple[K, RenderRequest]],
        on_turn: Callable[[int], None] | None = None,
    ) -> Iterator[Rendered[K]]:
        """Each picture as it finishes, in any order; `on_turn` hears of each UNet call its rows.

        A picture that comes out NaN or infinite, or whose given picture cannot be read, carries an `error`, and the
        others go on.
        """
        work = list(requests)
        heard = on_turn or (lambda rows: None)
        refined = any(request.refiner for _, request in work)
        for start in range(0, len(work), BLOCK if refined else max(1, len(work))):
            block = work[start : start + BLOCK] if refined else work
            waiting: list[Trajectory[K]] = []
            yield from self._base(block, heard, waiting)
            for digest, group in itertools.groupby(sorted(waiting, key=_refiner_of), _refiner_of):
                yield from self._refine(self._refiners[digest], list(group), heard)

    def _base(
        self, work: Sequence[tuple[K, RenderRequest]], on_turn: Callable[[int], None], waiting: list[Trajectory[K]]
    ) -> Iterator[Rendered[K]]:
        """Run `work` on the bundle; pictures done are yielded, those for a refiner put into `waiting`."""
        unread: list[Rendered[K]] = []
        for finished in self._run(self._model, self._begun(work, unread), any(r.losses for _, r in work), on_turn):
            waiting += [trajectory for trajectory in finished if trajectory.request.refiner]
            done = [trajectory for trajectory in finished if not trajectory.request.refiner]
            yield from self._finish(self._model, done)
            while unread:
                yield unread.pop()
        yield from unread

    def _refine(
        self, model: Model, waiting: list[Trajectory[K]], on_turn: Callable[[int], None]
    ) -> Iterator[Rendered[K]]:
        guided = any(trajectory.request.losses for trajectory in waiting)
        for finished in self._run(model, (hand_over(trajectory, model) for trajectory in waiting), guided, on_turn):
            yield from self._finish(model, finished)

    def _run(
        self, model: Model, queue: Iterable[Trajectory[K]], guided: bool, on_turn: Callable[[int], None]
    ) -> Iterator[list[Trajectory[K]]]:
        for turn in denoise(queue, model.unet, model.guidance if guided else None, self.batch_rows):
            on_turn(turn.rows)
            yield turn.finished

    def _begun(self, work: Sequence[tuple[K, RenderRequest]], unread: list[Rendered[K]]) -> Iterator[Trajectory[K]]:
        """The trajectories of `work`; a request whose picture cannot be read goes to `unread` instead."""
        for key, request in work:
            started = time.perf_counter()
            try:
                yield begin(self._model, key, request)
            except UsageError as error:
                unread.append(Rendered(key, None, str(error), time.perf_counter() - started))

    def _finish(self, model: Model, finished: Sequence[Trajectory[K]]) -> Iterator[Rendered[K]]:
        sound = [trajectory for trajectory in finished if np.isfinite(trajectory.latents).all()]
        for trajectory in finished:
            if trajectory not in sound:
                yield self._failed(trajectory, "the latents became NaN or infinite; lower the loss or guidance scale")
        pictures = model.decoder([trajectory.latents for trajectory in sound])
        for trajectory, picture in zip(sound, pictures, strict=True):
            if picture is None:
                yield self._failed(trajectory, "the VAE decoder gave NaN or infinite pixels; use a float32 VAE")
            else:
                yield self._done(trajectory, picture)

    def _failed(self, trajectory: Trajectory[K], why: str) -> Rendered[K]:
        return Rendered(trajectory.key, None, why, time.perf_counter() - trajectory.started)

    def _done(self, trajectory: Trajectory[K], picture: NDArray[np.uint8]) -> Rendered[K]:
        losses: dict[str, float] = {}
        if trajectory.request.losses:
            from latentpress.runtime.guidance.gradient import picture_losses

            unit = (np.moveaxis(picture, -1, 0) / 255).astype(np.float32)
            losses = picture_losses(unit, trajectory.request.losses)
        return Rendered(trajectory.key, picture, None, time.perf_counter() - trajectory.started, losses)


def _refiner_of(trajectory: Trajectory[K]) -> str:
    assert trajectory.request.refiner is not None, "only pictures for a refiner wait for one"
    return trajectory.request.refiner.sha256
