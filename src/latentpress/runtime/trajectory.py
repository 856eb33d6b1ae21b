"""One image in flight: its latents, its own step, history and noise. Knows nothing of models or batches."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from latentpress.runtime.conditioning import Conditioning
from latentpress.runtime.noise import NoiseSource
from latentpress.runtime.request import LossSpec, RenderRequest
from latentpress.runtime.solver import INDEX, ORDER, Float, SolverRows

Latents = NDArray[np.float32]
K = TypeVar("K", bound=Hashable)


def noised(solver: SolverRows, step: int, image_latents: Latents, noise: Latents) -> Latents:
    """`image_latents` at the noise level of the solver's `step`: what the sampler would carry there, had it begun so.

    From the row's x0 = x0_x * x + x0_eps * eps, solved for x: x0 + sigma * noise in sigma space, else
    sqrt(abar) * x0 + sqrt(1 - abar) * noise.
    """
    row = solver.rows[step]
    scale = 1 / row[INDEX["x0_x"]]
    sigma = -row[INDEX["x0_eps"]] * scale
    return np.add(np.float32(scale) * image_latents, np.float32(sigma) * noise, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Blend:
    """What is kept of a given picture: mask (1, h, w), 1 where it is made anew; its latents and noise (C, h, w)."""

    mask: Latents
    image_latents: Latents
    noise: Latents


@dataclass(eq=False)
class Trajectory(Generic[K]):
    """An image between two UNet calls.

    latents: (C, h, w) float32; history: (ORDER, C, h, w), the stored predictions, newest first;
    cond, uncond: what each row attends to, uncond None where guidance_scale <= 1, and no row is spent on it;
    channels: (c, h, w), what an inpainting UNet sees beside the latents; blend: what is put back after each step;
    first, total: where this trajectory's steps lie among all the picture's steps, 0 and as many as it has by default.
    """

    key: K
    request: RenderRequest
    solver: SolverRows
    noise: NoiseSource
    latents: Latents
    cond: Conditioning
    uncond: Conditioning | None
    channels: Latents | None = None
    blend: Blend | None = None
    first: int = 0
    total: int = 0
    step: int = 0
    started: float = 0.0
    history: Latents = field(init=False)

    def __post_init__(self) -> None:
        self.history = np.zeros((ORDER, *self.latents.shape), dtype=np.float32)
        self.total = self.total or len(self.solver)

    @property
    def rows(self) -> int:
        """UNet rows this image takes in each turn: 2 with classifier-free guidance, else 1."""
        return 1 if self.uncond is None else 2

    @property
    def finished(self) -> bool:
        return self.step >= len(self.solver)

    @property
    def coefficients(self) -> Float:
        """This step's row of the solver."""
        return self.solver.rows[self.step]

    def losses_now(self) -> tuple[LossSpec, ...]:
        """The losses that act on this step."""
        step, total = self.first + self.step, self.total
        return tuple(
            loss
            for loss in self.request.losses
            if step % loss.every == 0 and loss.start * total <= step < loss.stop * total
        )

    def advance_to(self, latents: Latents, history: Latents) -> None:
        """Take the next step's latents, with what is kept of a given picture put back at their noise level."""
        self.step += 1
        if (blend := self.blend) is not None:
            kept = blend.image_latents
            if not self.finished:
                kept = noised(self.solver, self.step, kept, blend.noise)
            latents = np.where(blend.mask > 0, latents, kept)
        self.latents, self.history = latents, history

    def draw_noise(self) -> Latents:
        """This step's ancestral noise; zeros, and no draw, for a sampler that takes none.

        An ancestral sampler draws at its last step too, where the coefficient is 0, as diffusers does.
        """
        if self.solver.rows[:, INDEX["c"]].any():
            return self.noise.draw(*self.latents.shape)
        return np.zeros_like(self.latents)
