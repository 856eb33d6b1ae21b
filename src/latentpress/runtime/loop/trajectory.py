"""One image in flight: its latents, its own step, history and noise. Knows nothing of models or batches."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from latentpress.runtime.guidance.context import Moment
from latentpress.runtime.prompts.conditioning import Conditioning, Edited
from latentpress.runtime.request import GuidedStep, K, LossSpec, RenderRequest
from latentpress.runtime.sampling.brownian import BrownianPath
from latentpress.runtime.sampling.noise import NoiseSource
from latentpress.runtime.sampling.schedule import Float
from latentpress.runtime.sampling.solvers import DEPTH, INDEX, SolverTable
from latentpress.runtime.sampling.steps import acting, acts

Latents = NDArray[np.float32]


def noised(solver: SolverTable, call: int, image_latents: Latents, noise: Latents) -> Latents:
    """`image_latents` at the noise level of the solver's `call`, as if the sampler had come from them."""
    row = solver.rows[call]
    level_image, level_noise = np.float32(row[INDEX["level_image"]]), np.float32(row[INDEX["level_noise"]])
    return np.add(level_image * image_latents, level_noise * noise, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Blend:
    """What is kept of a given picture: mask (1, h, w), 1 where it is redrawn; its latents and noise (C, h, w)."""

    mask: Latents
    image_latents: Latents
    noise: Latents


@dataclass(eq=False)
class Trajectory(Generic[K]):
    """An image between two UNet calls.

    latents: (C, h, w) float32; anchor: as latents, what the solver keeps of the step's beginning;
    history: (DEPTH, C, h, w), the stored predictions, newest first; step: the next call's row of the solver;
    cond, uncond: what each row attends to. uncond is None without classifier-free guidance; there, and in the steps after
    guidance_stop, no row is spent on it;
    channels: (c, h, w), what an inpainting UNet sees beside the latents; blend: what is put back after each step;
    first: the picture's step that this trajectory begins at (default 0); total: the picture's steps (default: this
    trajectory's own). A step of a two-call sampler counts once. begun: the steps that were begun before this trajectory,
    by an SDXL base; the last of them may be repeated here, and its losses have acted. first_call: the UNet calls made for
    the picture before, by which edited prompts count; with a given picture they begin there, as in A1111. guided: what
    losses have done so far.
    """

    key: K
    request: RenderRequest
    solver: SolverTable
    noise: NoiseSource
    latents: Latents
    cond: Conditioning | Edited
    uncond: Conditioning | Edited | None
    channels: Latents | None = None
    blend: Blend | None = None
    first: int = 0
    total: int = 0
    begun: int = 0
    first_call: int = 0
    step: int = 0
    started: float = 0.0
    guided: list[GuidedStep] = field(default_factory=list[GuidedStep])
    anchor: Latents = field(init=False)
    history: Latents = field(init=False)

    def __post_init__(self) -> None:
        self.anchor = np.zeros_like(self.latents)
        self.history = np.zeros((DEPTH, *self.latents.shape), dtype=np.float32)
        self.total = self.total or self.solver.steps

    @property
    def rows(self) -> int:
        """UNet rows this image takes in the next call: 2 with classifier-free guidance, else 1."""
        return 1 if self.uncond_now is None else 2

    @property
    def uncond_now(self) -> Conditioning | None:
        """What the next call's unconditional row attends to, None where it has none."""
        if self.uncond is None or self.picture_step >= self.request.guided_steps(self.total):
            return None
        return self.uncond.at(self.first_call + self.step)

    @property
    def cond_now(self) -> Conditioning:
        """What the next call's conditional row attends to."""
        return self.cond.at(self.first_call + self.step)

    @property
    def picture_step(self) -> int:
        """The step the next call belongs to, among all the picture's steps."""
        return self.first + int(self.solver.step_of[self.step])

    @property
    def moment(self) -> Moment:
        """Where the making of this picture is, for its losses; at its end, past its last step."""
        return Moment(self.request.seed, self.total if self.finished else self.picture_step, self.total)

    @property
    def shape(self) -> tuple[int, ...]:
        """What trajectories of one call have in common: the latents' (C, h, w), and the tokens each row attends to."""
        return *self.latents.shape, len(self.cond.at(0).encoder_hidden_states)

    @property
    def finished(self) -> bool:
        return self.step >= len(self.solver)

    @property
    def coefficients(self) -> Float:
        """The solver's row for this call."""
        return self.solver.rows[self.step]

    def losses_now(self) -> tuple[LossSpec, ...]:
        """The losses that act on this call: those of the step it begins, and none on a step's second call."""
        step = self.picture_step
        if not self.solver.begins_step(self.step) or step < self.begun:
            return ()
        return acting(self.request.losses, step, self.total)

    def note(self, values: Sequence[float], share: float) -> None:
        """Keep what the losses of this call did: the value of each of `losses_now`, and how far they moved x0."""
        measured, step = iter(values), self.picture_step
        each = (next(measured) if acts(loss, step, self.total) else None for loss in self.request.losses)
        self.guided.append(GuidedStep(step, tuple(each), share))

    def advance_to(self, latents: Latents, anchor: Latents, history: Latents) -> None:
        """Take the next call's state, with what is kept of a given picture put back at its latents' noise level."""
        self.step += 1
        if (blend := self.blend) is not None:
            kept = blend.image_latents
            if not self.finished:
                kept = noised(self.solver, self.step, kept, blend.noise)
            latents = np.where(blend.mask > 0, latents, kept)
        self.latents, self.anchor, self.history = latents, anchor, history

    def draw_noise(self) -> Latents:
        """The unit noise that this call adds; zeros, and no draw, where it adds none.

        In the last step of an ancestral sampler noise is drawn and weighed with 0, because diffusers draws it too.
        """
        row = self.coefficients
        start, end = row[INDEX["path_from"]], row[INDEX["path_to"]]
        if row[INDEX["draw"]]:
            return self.noise.draw(*self.latents.shape)
        if start != end:
            return self._path.increment(start, end)
        return np.zeros_like(self.latents)

    @cached_property
    def _path(self) -> BrownianPath:
        return BrownianPath(self.request.seed, self.latents.shape, *self.solver.sigma_range)
