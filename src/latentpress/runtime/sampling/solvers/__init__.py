"""Every sampler as rows of coefficients, so that images at any call of any sampler advance in one vectorised step.

A row belongs to one UNet call. An image carries its latents x, an anchor s (the latents at the beginning of its step,
or what its sampler keeps in their place) and its last predictions m_0 .. m_4, newest first. With out the (guided) model
output, a call is

    model input  = in_scale * x
    m            = keep_x * x + keep_out * out
    x0           = x0_x * x + x0_out * out                              (loss guidance only, as the next two lines)
    d            = -nudge * dL/dx0, cut where it is too long (guidance/step.py)
    x, m         = x + d, m + keep_move * d
    s            = s + anchor_move * d                                  (but with `step: raw`)
    m_0 .. m_4   = m, m_0 + keep_move * d .. m_3 + keep_move * d        (with `step: raw` as they are)
    x'           = next_x * x + next_anchor * s + sum_j next_mj * m_j + next_noise * noise
    s'           = anchor_x * x + anchor_anchor * s + sum_j anchor_mj * m_j

When a loss moves x, eps, the noise that the model sees in it, stays as it was. keep_move is what x0 gains by that; it is
0 for samplers that keep eps. What is kept of earlier calls moves with it, as if x0 had always been where it is now: so d
is alpha' / alpha * d of the next x with every sampler, as it is with Euler. Otherwise a multistep sampler takes the jump for
the curve of its path and goes on along it, and UniPC's corrector takes most of it back.

The noise is a fresh draw where `draw` is 1, the increment of a Brownian path between the sigmas `path_from` and `path_to`
where those differ, else absent. Clean latents times `level_image` plus unit noise times `level_noise` are latents as the
call expects them (diffusers' `add_noise`).

A step is one call, or two. Losses act, and count, at each step's first call; a second call begins at the anchor, which
holds the latents that the first one moved.

The rows depend on the schedule alone and are computed in float64. Samplers of sigma space (Euler, Heun, LMS, KDPM2,
DPM++ SDE) carry x = x0 + sigma * eps, the others x = sqrt(abar) * x0 + sqrt(1 - abar) * eps, as their diffusers
schedulers do.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from latentpress.errors import UsageError
from latentpress.runtime.sampling.samplers import parse_sampler
from latentpress.runtime.sampling.schedule import Discretization, Float, NoiseSchedule, discretize, schedule_for
from latentpress.runtime.sampling.solvers import multistep, sigma_space, signal_space, two_call
from latentpress.runtime.sampling.solvers.columns import COLUMNS, DEPTH, INDEX, Table, stacked, weaken

__all__ = ["COLUMNS", "DEPTH", "INDEX", "SolverCache", "SolverTable", "solver_table"]


@dataclass(frozen=True, eq=False)
class SolverTable:
    """A sampler's run, or a part of one: `rows` (calls, len(COLUMNS)) float64, one UNet call each.

    step_of: (calls,), the step each call belongs to, counted from 0; init_noise_sigma: the scale of the initial unit
    noise; sigma_range: the ends of the Brownian path, (0, 0) where there is none.
    order: the calls from one step's beginning to the next's; start, stop: which of the whole run's calls these are.
    """

    rows: Float
    step_of: NDArray[np.int64]
    init_noise_sigma: float
    sigma_range: tuple[float, float]
    order: int
    start: int
    stop: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def steps(self) -> int:
        """The steps begun here."""
        return int(self.step_of[-1]) + 1 if len(self.step_of) else 0

    def begins_step(self, call: int) -> bool:
        """Whether `call` is the first of its step."""
        return call == 0 or bool(self.step_of[call] != self.step_of[call - 1])

    def until_call(self, stop: int) -> "SolverTable":
        """These calls up to, not including, call `stop` of the whole run."""
        count = max(0, stop - self.start)
        return replace(self, rows=self.rows[:count], step_of=self.step_of[:count], stop=min(stop, self.stop))


def solver_table(
    noise: NoiseSchedule,
    sampler: str,
    steps: int,
    *,
    start: int = 0,
    eta: float = 0.0,
    timesteps: tuple[int, ...] = (),
) -> SolverTable:
    """The rows of `sampler` in `steps` steps, from the call `start` on, as diffusers continues from there.

    start: the call that has no history: multistep samplers take it at first order, PNDM counts its calls from it, and
    LMS leaves out the terms that have no prediction yet. Image-to-image's step k is call k * order.
    eta: for DDIM, the share of DDPM's noise; for TCD, its gamma; 0..1.
    timesteps: where the steps begin, `steps` of them; () leaves them to the sampler.
    Raises UsageError as `parse_sampler`, `schedule_for` and `discretize` do.
    """
    name = parse_sampler(sampler)
    noise = schedule_for(noise, name)
    grid = discretize(noise, name, steps, timesteps)
    table, step_of = _table(name.base.name, noise, grid, start, eta)
    weaken(table, noise.loss_sigma)
    rows = stacked(table)
    if not np.isfinite(rows).all():
        raise UsageError(
            f"{sampler} cannot take {steps} steps with this checkpoint: two of them fall together; use fewer"
        )
    rows.setflags(write=False)
    ends = (float(grid.sigmas[:-1].min()), float(grid.sigmas.max())) if name.base.noise == "path" else (0.0, 0.0)
    first = step_of[start] if start < len(rows) else 0
    order = name.base.order
    return SolverTable(rows[start:], step_of[start:] - first, grid.init_noise_sigma, ends, order, start, len(rows))


def _table(
    base: str, noise: NoiseSchedule, grid: Discretization, start: int, eta: float
) -> tuple[Table, NDArray[np.int64]]:
    """The table of every call of the run, and the step of each; only the calls from `start` on are meant."""
    steps = np.arange(len(grid.timesteps))
    if base in two_call.SOLVERS:
        # Calls 2i and 2i + 1 belong to step i; the last step has one.
        return two_call.SOLVERS[base](noise, grid), np.arange(2 * len(steps) - 1) // 2
    if base == "pndm":
        table = signal_space.pndm(noise, grid, start)
        calls = np.arange(len(table["timestep"]))
        # The second call corrects the first step; steps begun before `start` are not counted.
        return table, np.where(calls > start, calls - 1, calls)
    if base == "ddim":
        return signal_space.ddim(noise, grid, eta), steps
    if base == "tcd":
        return signal_space.tcd(noise, grid, eta), steps
    if base in multistep.SOLVERS:
        return multistep.SOLVERS[base](noise, grid, start), steps
    one_call = {
        "ddpm": signal_space.ddpm,
        "lcm": signal_space.lcm,
        "euler": sigma_space.euler,
        "euler_a": sigma_space.euler_ancestral,
        "lms": sigma_space.lms,
    }
    return one_call[base](noise, grid), steps


class SolverCache:
    """The rows of each (sampler, steps, start, eta, timesteps) a run meets, computed once."""

    def __init__(self, noise: NoiseSchedule) -> None:
        self.noise = noise
        self._rows = lru_cache(maxsize=None)(self._compute)

    def table(
        self, sampler: str, steps: int, *, start: int = 0, eta: float = 0.0, timesteps: tuple[int, ...] = ()
    ) -> SolverTable:
        """As `solver_table`."""
        return self._rows(sampler, steps, start, eta, timesteps)

    def _compute(self, sampler: str, steps: int, start: int, eta: float, timesteps: tuple[int, ...]) -> SolverTable:
        return solver_table(self.noise, sampler, steps, start=start, eta=eta, timesteps=timesteps)


def switch_call(solver: SolverTable, solvers: SolverCache, switch_at: float) -> int:
    """The first UNet call of the refiner: the first timestep below round(T - switch_at * T), T the training timesteps."""
    train = len(solvers.noise.alphas_cumprod)
    cutoff = round(train - switch_at * train)
    return int((solver.rows[:, INDEX["timestep"]] >= cutoff).sum())


def refiner_call(solver: SolverTable, solvers: SolverCache, switch_at: float) -> int:
    """The call of the whole run `solver` that the refiner begins with: `switch_call`, or the first call of its step.

    diffusers repeats a step that the base has begun rather than begin with a two-call step's second call.
    """
    call = switch_call(solver, solvers, switch_at)
    return call if solver.order == 1 or call >= len(solver) or solver.begins_step(call) else call - 1
