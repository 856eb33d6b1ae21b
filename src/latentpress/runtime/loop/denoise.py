"""The loop: pack rows, run the UNet, combine classifier-free guidance, guide by losses, advance.

Each turn packs UNet rows of images at any call, of any sampler and scale, into one call, hands each image its
prediction, and refills finished places from the queue. All arithmetic between calls is elementwise float32, so an
image's pixels do not depend on its batch mates. A call that raises is taken apart until the images to blame are found.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from latentpress.engines.engine import Session
from latentpress.runtime.loop.failure import Failure, failure_of
from latentpress.runtime.loop.guide import Columns, Guidance, guide
from latentpress.runtime.loop.overseer import NoOverseer, Overseer
from latentpress.runtime.loop.rows import ConditioningRows
from latentpress.runtime.loop.trajectory import Latents, Trajectory
from latentpress.runtime.request import K
from latentpress.runtime.sampling.solvers import DEPTH, INDEX

_UNET = "the UNet"


@dataclass(frozen=True)
class Turn(Generic[K]):
    """One UNet call: the rows it took, the trajectories it finished, often none, and those that it could not take on.

    shape: `Trajectory.shape` of all of them.
    """

    rows: int
    shape: tuple[int, ...]
    finished: list[Trajectory[K]]
    failed: list[tuple[Trajectory[K], Failure]] = field(default_factory=list[tuple[Trajectory[K], Failure]])


class Lookahead(Iterator[Trajectory[K]]):
    """A stream of trajectories whose next one can be looked at before it is taken."""

    def __init__(self, stream: Iterable[Trajectory[K]]) -> None:
        self._stream = iter(stream)
        self._next: deque[Trajectory[K]] = deque()

    def peek(self) -> Trajectory[K] | None:
        """The next trajectory, left in place; None at the end."""
        if not self._next and (following := next(self._stream, None)) is not None:
            self._next.append(following)
        return self._next[0] if self._next else None

    def __next__(self) -> Trajectory[K]:
        if self.peek() is None:
            raise StopIteration
        return self._next.popleft()


def denoise(
    queue: Iterable[Trajectory[K]],
    unet: Session,
    guidance: Guidance | None,
    batch_rows: int,
    overseer: Overseer | None = None,
) -> Iterator[Turn[K]]:
    """Run every trajectory of `queue` to its end, at most `batch_rows` (>= 2) UNet rows a call.

    Yields after each call: the caller's moment to decode what is finished, or to report.
    `guidance` may be None where no trajectory has a loss.
    """
    overseer = overseer or NoOverseer()
    waiting = Lookahead(queue)
    active: list[Trajectory[K]] = []
    conditioning = ConditioningRows()
    while admit(active, waiting, batch_rows):
        rows, shape = sum(trajectory.rows for trajectory in active), active[0].shape
        sound, noise_pred, failed = taken_apart(unet, active, conditioning, overseer)
        if sound:
            failed += advance(sound, noise_pred, guidance, overseer)
        gone = {id(trajectory) for trajectory, _ in failed}
        active = [trajectory for trajectory in active if id(trajectory) not in gone]
        yield Turn(rows, shape, [trajectory for trajectory in active if trajectory.finished], failed)
        active = unfinished(active)


def taken_apart(
    unet: Session, active: Sequence[Trajectory[K]], conditioning: ConditioningRows, overseer: Overseer
) -> tuple[list[Trajectory[K]], Latents, list[tuple[Trajectory[K], Failure]]]:
    """The trajectories that the UNet has a prediction for, these predictions, and the others, found by halving."""
    overseer.begins(_UNET, [trajectory.key for trajectory in active])
    try:
        return list(active), predict(unet, active, conditioning), []
    except Exception as error:
        if len(active) == 1:
            return [], np.zeros(0, np.float32), [(active[0], failure_of(error, _UNET, active[0].request))]
    half = len(active) // 2
    parts = [taken_apart(unet, part, conditioning, overseer) for part in (active[:half], active[half:])]
    sound = [trajectory for found, _, _ in parts for trajectory in found]
    predictions = [noise_pred for found, noise_pred, _ in parts if found]
    failed = [one for _, _, found in parts for one in found]
    return sound, np.concatenate(predictions) if sound else np.zeros(0, np.float32), failed


def unfinished(active: Sequence[Trajectory[K]]) -> list[Trajectory[K]]:
    """Those still to run, in their places but for the last ones, which fill the gaps: most rows stay where they are."""
    left = list(active)
    for place in reversed(range(len(left))):
        if left[place].finished:
            last = left.pop()
            if place < len(left):
                left[place] = last
    return left


def admit(active: list[Trajectory[K]], waiting: Lookahead[K], batch_rows: int) -> list[Trajectory[K]]:
    """Fill `active` from `waiting` up to `batch_rows`, with latents and prompts of one shape, and return it.

    A picture of another size, or a prompt of another number of chunks, waits until the present ones are through; the
    renderer groups them for that reason.
    """
    rows = sum(trajectory.rows for trajectory in active)
    while (following := waiting.peek()) is not None:
        if active and (rows + following.rows > batch_rows or following.shape != active[0].shape):
            break
        rows += following.rows
        active.append(next(waiting))
    return active


def coefficients(active: Sequence[Trajectory[K]]) -> Columns:
    """The solver's columns for this call: name -> (n, 1, 1, 1) float32."""
    rows = np.stack([trajectory.coefficients for trajectory in active]).astype(np.float32)
    return {name: rows[:, position].reshape(-1, 1, 1, 1) for name, position in INDEX.items()}


def predict(unet: Session, active: Sequence[Trajectory[K]], conditioning: ConditioningRows) -> Latents:
    """The model output of each trajectory at its own timestep, guidance combined: (n, C, h, w).

    uncond + scale * (cond - uncond) (arXiv 2207.12598), where a trajectory has an unconditional row in this call.
    """
    unconds = {index: found for index, one in enumerate(active) if (found := one.uncond_now) is not None}
    guided = list(unconds)
    at = coefficients(active)
    inputs = np.stack([trajectory.latents for trajectory in active]) * at["in_scale"]
    channels = [trajectory.channels for trajectory in active if trajectory.channels is not None]
    if channels:  # all have them or none: they belong to the UNet
        inputs = np.concatenate([inputs, np.stack(channels)], axis=1)
    timesteps = at["timestep"].reshape(-1)
    rows = [*(trajectory.cond_now for trajectory in active), *unconds.values()]
    outputs = unet.run(
        {
            "sample": np.concatenate([inputs, inputs[guided]]),
            "timestep": np.concatenate([timesteps, timesteps[guided]]),
            **conditioning.pack(rows),
        }
    )
    output = outputs["noise_pred"].astype(np.float32, copy=False)
    cond, uncond = output[: len(active)].copy(), output[len(active) :]
    if guided:
        scales: NDArray[np.float32] = np.asarray(
            [active[index].request.guidance_scale for index in guided], dtype=np.float32
        ).reshape(-1, 1, 1, 1)
        combined = uncond + scales * (cond[guided] - uncond)
        for row, index in enumerate(guided):
            if (phi := active[index].request.guidance_rescale) > 0:
                combined[row] = rescale(combined[row], cond[index], phi)
        cond[guided] = combined
    return cond


def rescale(combined: Latents, cond: Latents, phi: float) -> Latents:
    """One image's guided prediction, brought a share `phi` of the way to the spread of its conditional one.

    arXiv 2305.08891, equations 15 and 16. The spreads are taken image by image, in float64: the order of a sum must not
    depend on the batch.
    """
    spread = cond.std(ddof=1, dtype=np.float64) / combined.std(ddof=1, dtype=np.float64)
    return combined * np.float32(phi * spread + 1 - phi)


def advance(
    active: Sequence[Trajectory[K]],
    noise_pred: Latents,
    guidance: Guidance | None,
    overseer: Overseer | None = None,
) -> list[tuple[Trajectory[K], Failure]]:
    """Take every trajectory one call on, and return those whose losses failed; the equations stand in `solvers`."""
    at = coefficients(active)
    x = np.stack([trajectory.latents for trajectory in active])
    anchor = np.stack([trajectory.anchor for trajectory in active])
    kept = mixed(at["keep_x"], x, at["keep_out"], noise_pred)
    history = np.stack([trajectory.history for trajectory in active])
    failed: list[tuple[Trajectory[K], Failure]] = []
    if any(trajectory.losses_now() for trajectory in active):
        x0 = mixed(at["x0_x"], x, at["x0_out"], noise_pred)
        move, told, failed = guide(active, x0, at, guidance, overseer or NoOverseer())
        x += move
        kept += at["keep_move"] * move
        anchor += at["anchor_move"] * told
        history += (at["keep_move"] * told)[:, None]
    history = np.concatenate([kept[:, None], history[:, :-1]], axis=1)
    sources: dict[str, Latents] = {"x": x, "anchor": anchor, **{f"m{j}": history[:, j] for j in range(DEPTH)}}
    following = at["next_noise"] * np.stack([trajectory.draw_noise() for trajectory in active])
    following += weighted(at, "next", sources)
    anchor = weighted(at, "anchor", sources)
    for index, trajectory in enumerate(active):
        trajectory.advance_to(following[index], anchor[index], history[index])
    return failed


def mixed(a: Latents, x: Latents, b: Latents, y: Latents) -> Latents:
    """a * x + b * y."""
    return (a * x + b * y).astype(np.float32, copy=False)


def weighted(at: Columns, target: str, sources: Mapping[str, Latents]) -> Latents:
    """The sum over `sources` of each times its coefficient `<target>_<source>`; what no image here needs is left out."""
    total = np.zeros_like(sources["x"])
    for source, values in sources.items():
        if (weight := at[f"{target}_{source}"]).any():
            total += weight * values
    return total
