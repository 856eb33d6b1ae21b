"""Samplers of sigma space that call the UNet twice a step, but once in the last: Heun, KDPM2 (plain, ancestral), DPM++ SDE.

Call 2i begins step i and leaves the anchor there; call 2i + 1 sees where it led, and takes the step from the anchor.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from latentpress.runtime.sampling.schedule import Discretization, Float, NoiseSchedule, timestep_of
from latentpress.runtime.sampling.solvers.columns import Table, sigma_space
from latentpress.runtime.sampling.solvers.sigma_space import ancestral


def heun(noise: NoiseSchedule, grid: Discretization) -> Table:
    """arXiv 2206.00364, algorithm 1 without churn: Euler to the next sigma, then the mean slope of both ends."""
    sigmas = grid.sigmas
    table = _interleaved(noise, grid, grid.timesteps[1:], sigmas[1:-1], keep="eps")
    step = np.diff(sigmas)
    table["next_m0"][0::2] = step
    table["next_m0"][1::2] = table["next_m1"][1::2] = step[:-1] / 2
    return table


def kdpm2(noise: NoiseSchedule, grid: Discretization) -> Table:
    """k-diffusion `sample_dpm_2`: half a step in log sigma, then the whole step with the slope found there."""
    return _midpoint(noise, grid, grid.sigmas[1:], np.zeros(len(grid.timesteps)))


def kdpm2_ancestral(noise: NoiseSchedule, grid: Discretization) -> Table:
    """k-diffusion `sample_dpm_2_ancestral`, eta = 1: the same down to a lower sigma, then noise."""
    return _midpoint(noise, grid, *ancestral(grid.sigmas[:-1], grid.sigmas[1:]))


def _midpoint(noise: NoiseSchedule, grid: Discretization, down: Float, up: Float) -> Table:
    now = grid.sigmas[:-1]
    middle = np.sqrt(now * down)  # the mean of the logarithms; 0 in the last step, which is Euler's
    table = _interleaved(noise, grid, timestep_of(noise, middle[:-1]), middle[:-1], keep="eps")
    table["next_m0"][0::2] = middle - now
    table["next_m0"][1::2] = (down - now)[:-1]
    table["next_noise"][1::2] = up[:-1]
    table["draw"][1::2] = float(up.any())
    return table


def dpmpp_sde(noise: NoiseSchedule, grid: Discretization) -> Table:
    """k-diffusion `sample_dpmpp_sde`, eta = 1, r = 1/2 (arXiv 2211.01095): both calls noised by one Brownian path."""
    now, after = grid.sigmas[:-1], grid.sigmas[1:]
    middle = np.sqrt(now * after)
    table = _interleaved(noise, grid, timestep_of(noise, middle[:-1]), middle[:-1], keep="x0")
    for calls, ends in ((np.s_[0:-1:2], middle[:-1]), (np.s_[1::2], after[:-1])):
        down, up = ancestral(now[:-1], ends)
        ratio = down / now[:-1]
        source = "next_x" if calls.start == 0 else "next_anchor"
        table[source][calls] = ratio
        table["next_m0"][calls] = 1 - ratio
        table["next_noise"][calls] = up
        table["path_from"][calls], table["path_to"][calls] = now[:-1], ends
    table["next_x"][-1], table["next_m0"][-1] = 0.0, 1.0  # the last step ends at x0
    return table


def _interleaved(
    noise: NoiseSchedule, grid: Discretization, timesteps: Float, sigmas: Float, keep: Literal["eps", "x0"]
) -> Table:
    """The table of all calls; `timesteps` and `sigmas` are those of the second ones."""
    calls = 2 * len(grid.timesteps) - 1
    all_timesteps, all_sigmas = np.zeros(calls), np.zeros(calls)
    all_timesteps[0::2], all_timesteps[1::2] = grid.timesteps, timesteps
    all_sigmas[0::2], all_sigmas[1::2] = grid.sigmas[:-1], sigmas
    table = sigma_space(all_timesteps, all_sigmas, noise.prediction_type, keep)
    table["next_x"][0::2] = table["anchor_x"][0::2] = 1.0
    table["next_anchor"][1::2] = 1.0
    # diffusers' add_noise knows whole steps only: before a second call it gives the next step's level.
    table["level_noise"][1::2] = grid.sigmas[1:-1]
    return table


SOLVERS: dict[str, Callable[[NoiseSchedule, Discretization], Table]] = {
    "heun": heun,
    "kdpm2": kdpm2,
    "kdpm2_a": kdpm2_ancestral,
    "dpmpp_sde": dpmpp_sde,
}
