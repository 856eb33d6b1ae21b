"""Every sampler as rows of coefficients, so that images at any step of any sampler advance in one vectorised step.

With x the latents, out the (guided) model output and m_0..m_3 the stored predictions, newest first, a step is

    model input  = in_scale * x
    eps          = eps_x * x + eps_out * out
    x           -= nudge * dL/dx0                      (loss guidance only; eps stays as it is)
    x0           = x0_x * x + x0_eps * eps
    m_0          = keep_x * x + keep_eps * eps
    x'           = a * x + sum_j b_j * m_j + c * noise

The rows depend on the schedule alone and are computed in float64. Sigma-space samplers (Euler, LMS) carry
x = x0 + sigma * eps, the others x = sqrt(abar) * x0 + sqrt(1 - abar) * eps, as their diffusers schedulers do.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.polynomial import polynomial

from latentpress.runtime.schedule import Discretization, Float, NoiseSchedule, discretize

ORDER = 4  # the deepest history any sampler here reads: LMS

COLUMNS = (
    "timestep",
    "in_scale",
    "eps_x",
    "eps_out",
    "x0_x",
    "x0_eps",
    "keep_x",
    "keep_eps",
    "a",
    "b0",
    "b1",
    "b2",
    "b3",
    "c",
    "nudge",
)
INDEX = {name: position for position, name in enumerate(COLUMNS)}


@dataclass(frozen=True, eq=False)
class SolverRows:
    """A sampler's whole run: `rows` (N, len(COLUMNS)) float64, and the scale of the initial unit noise."""

    rows: Float
    init_noise_sigma: float

    def __len__(self) -> int:
        return len(self.rows)


def solver_rows(noise: NoiseSchedule, sampler: str, steps: int) -> SolverRows:
    """The rows of `sampler` (canonical name) in `steps` steps; raises UsageError as `discretize` does."""
    grid = discretize(noise, sampler, steps)
    solver = sampler.removesuffix("_karras")
    rows = np.zeros((len(grid.timesteps), len(COLUMNS)))
    _set(rows, timestep=grid.timesteps)
    if solver == "ddim":
        abar = noise.alphas_cumprod[grid.timesteps.astype(int)]
        _predictions(rows, np.sqrt(abar), np.sqrt(1 - abar), noise.prediction_type, keep="eps")
        _ddim(rows, noise, abar)
    elif solver == "dpmpp_2m":
        alpha = 1 / np.sqrt(grid.sigmas[:-1] ** 2 + 1)
        _predictions(rows, alpha, grid.sigmas[:-1] * alpha, noise.prediction_type, keep="x0")
        _dpmpp_2m(rows, grid)
    else:
        _predictions(rows, None, grid.sigmas[:-1], noise.prediction_type, keep="eps")
        _set(rows, a=1.0)
        {"euler": _euler, "euler_a": _euler_ancestral, "lms": _lms}[solver](rows, grid)
    rows.setflags(write=False)
    return SolverRows(rows, grid.init_noise_sigma)


def _set(rows: Float, **columns: Float | float) -> None:
    for name, value in columns.items():
        rows[:, INDEX[name]] = value


def _predictions(
    rows: Float, alpha: Float | None, sigma: Float, prediction_type: str, keep: Literal["eps", "x0"]
) -> None:
    """Fill the columns that turn a model output into eps, x0 and the stored prediction.

    alpha None: sigma space, whose model input is x / sqrt(sigma^2 + 1).
    """
    if alpha is None:
        in_scale = 1 / np.sqrt(sigma**2 + 1)
        scale, vp_sigma = np.ones_like(sigma), sigma * in_scale
        nudge, vp_alpha = sigma**2, in_scale
    else:
        in_scale, scale = np.ones_like(sigma), alpha
        # facts: the sigma^2 nudge of sigma space, carried over by x_vp = sqrt(abar) * x_ve.
        nudge, vp_sigma, vp_alpha = sigma**2 / alpha, sigma, alpha
    _set(rows, in_scale=in_scale, nudge=nudge)
    if prediction_type == "epsilon":
        _set(rows, eps_x=0.0, eps_out=1.0)
    else:  # v = alpha * eps - sigma * x0 (arXiv 2202.00512), so eps = alpha * v + sigma * x
        _set(rows, eps_x=vp_sigma * in_scale, eps_out=vp_alpha)
    x0_x, x0_eps = 1 / scale, -sigma / scale
    _set(rows, x0_x=x0_x, x0_eps=x0_eps)
    if keep == "eps":
        _set(rows, keep_x=0.0, keep_eps=1.0)
    else:
        _set(rows, keep_x=x0_x, keep_eps=x0_eps)


def _ddim(rows: Float, noise: NoiseSchedule, abar: Float) -> None:
    """arXiv 2010.02502, equation 12, eta = 0."""
    train = len(noise.alphas_cumprod)
    timesteps = rows[:, INDEX["timestep"]].astype(int)
    previous = timesteps - train // len(rows)
    final = 1.0 if noise.config.get("set_alpha_to_one", True) else noise.alphas_cumprod[0]
    abar_next = np.where(previous >= 0, noise.alphas_cumprod[np.maximum(previous, 0)], final)
    ratio = np.sqrt(abar_next / abar)
    _set(rows, a=ratio, b0=np.sqrt(1 - abar_next) - ratio * np.sqrt(1 - abar))


def _euler(rows: Float, grid: Discretization) -> None:
    """k-diffusion `sample_euler`, without churn."""
    _set(rows, b0=np.diff(grid.sigmas))


def _euler_ancestral(rows: Float, grid: Discretization) -> None:
    """k-diffusion `sample_euler_ancestral`, eta = 1."""
    now, after = grid.sigmas[:-1], grid.sigmas[1:]
    up = np.sqrt(after**2 * (now**2 - after**2) / now**2)
    down = np.sqrt(after**2 - up**2)
    _set(rows, b0=down - now, c=up)


def _lms(rows: Float, grid: Discretization) -> None:
    """k-diffusion `sample_lms`: the integral of the Lagrange basis of the last <= 4 derivatives over the step.

    The polynomials are integrated exactly, where diffusers uses quadrature with a relative tolerance of 1e-4.
    """
    sigmas = grid.sigmas
    for step in range(len(rows)):
        order = min(step + 1, ORDER)
        nodes = sigmas[step - np.arange(order)]
        for j in range(order):
            others = np.delete(nodes, j)
            # Shifted to the current sigma, so that nearby nodes do not cancel.
            basis = polynomial.polyfromroots(others - nodes[0]) / np.prod(nodes[j] - others)
            integral = polynomial.polyint(basis)
            rows[step, INDEX["b0"] + j] = polynomial.polyval(sigmas[step + 1] - nodes[0], integral)


def _dpmpp_2m(rows: Float, grid: Discretization) -> None:
    """arXiv 2211.01095, algorithm 2 (midpoint); first order at the first step, and at the last, whose sigma is 0."""
    alpha = 1 / np.sqrt(grid.sigmas**2 + 1)
    sigma = grid.sigmas * alpha
    for step in range(len(rows)):
        last = step == len(rows) - 1
        # exp(-h) = (sigma' / alpha') / (sigma / alpha)
        decay = grid.sigmas[step + 1] / grid.sigmas[step]
        total = alpha[step + 1] * (1 - decay)
        rows[step, INDEX["a"]] = sigma[step + 1] / sigma[step]
        extrapolation = 0.0
        if step > 0 and not last:
            h = -np.log(decay)
            h_previous = np.log(grid.sigmas[step - 1] / grid.sigmas[step])
            extrapolation = 0.5 * total * h / h_previous
        rows[step, INDEX["b0"]] = total + extrapolation
        rows[step, INDEX["b1"]] = -extrapolation


class SolverCache:
    """The rows of each (sampler, steps) a run meets, computed once."""

    def __init__(self, noise: NoiseSchedule) -> None:
        self.noise = noise
        self.rows = lru_cache(maxsize=None)(self._rows)

    def _rows(self, sampler: str, steps: int) -> SolverRows:
        return solver_rows(self.noise, sampler, steps)
