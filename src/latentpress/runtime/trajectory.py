"""One image in flight: its latents, its own step, history and noise. Knows nothing of models or batches."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from latentpress.runtime.noise import NoiseSource
from latentpress.runtime.request import LossSpec, RenderRequest
from latentpress.runtime.solver import INDEX, ORDER, Float, SolverRows

Latents = NDArray[np.float32]
K = TypeVar("K", bound=Hashable)


@dataclass(eq=False)
class Trajectory(Generic[K]):
    """An image between two UNet calls.

    latents: (C, h, w) float32; history: (ORDER, C, h, w), the stored predictions, newest first;
    cond, uncond: encoder_hidden_states (T, D), uncond None where guidance_scale <= 1, and no row is spent on it.
    """

    key: K
    request: RenderRequest
    solver: SolverRows
    noise: NoiseSource
    latents: Latents
    cond: NDArray[np.float32]
    uncond: NDArray[np.float32] | None
    step: int = 0
    started: float = 0.0
    history: Latents = field(init=False)

    def __post_init__(self) -> None:
        self.history = np.zeros((ORDER, *self.latents.shape), dtype=np.float32)

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
        count = len(self.solver)
        return tuple(
            loss
            for loss in self.request.losses
            if self.step % loss.every == 0 and loss.start * count <= self.step < loss.stop * count
        )

    def draw_noise(self) -> Latents:
        """This step's ancestral noise; zeros, and no draw, for a sampler that takes none.

        An ancestral sampler draws at its last step too, where the coefficient is 0, as diffusers does.
        """
        if self.solver.rows[:, INDEX["c"]].any():
            return self.noise.draw(*self.latents.shape)
        return np.zeros_like(self.latents)
