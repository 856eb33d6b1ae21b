"""Samplers of k-diffusion's sigma space that call the UNet once a step: Euler, Euler ancestral and LMS."""

import numpy as np
from numpy.polynomial import polynomial

from latentpress.runtime.sampling.schedule import Discretization, Float, NoiseSchedule
from latentpress.runtime.sampling.solvers.columns import Table, sigma_space

LMS_ORDER = 4


def euler(noise: NoiseSchedule, grid: Discretization) -> Table:
    """k-diffusion `sample_euler`, without churn."""
    table = sigma_space(grid.timesteps, grid.sigmas[:-1], noise.prediction_type, keep="eps")
    table["next_x"][:] = 1.0
    table["next_m0"] = np.diff(grid.sigmas)
    return table


def euler_ancestral(noise: NoiseSchedule, grid: Discretization) -> Table:
    """k-diffusion `sample_euler_ancestral`, eta = 1. It draws at the last step too, where the noise's weight is 0."""
    now, after = grid.sigmas[:-1], grid.sigmas[1:]
    down, up = ancestral(now, after)
    table = sigma_space(grid.timesteps, now, noise.prediction_type, keep="eps")
    table["next_x"][:] = 1.0
    table["next_m0"] = down - now
    table["next_noise"] = up
    table["draw"][:] = 1.0
    return table


def ancestral(now: Float, after: Float) -> tuple[Float, Float]:
    """k-diffusion `get_ancestral_step`, eta = 1: the sigma to step down to, and that of the noise added after."""
    up = np.sqrt(after**2 * (now**2 - after**2) / now**2)
    return np.sqrt(np.maximum(after**2 - up**2, 0)), up


def lms(noise: NoiseSchedule, grid: Discretization) -> Table:
    """k-diffusion `sample_lms`: the integral of the Lagrange basis of the last <= 4 derivatives over the step.

    The polynomials are integrated exactly, where diffusers uses quadrature. A run that begins in the middle keeps these
    weights, as diffusers does, and so lacks the terms of the predictions before it.
    """
    sigmas = grid.sigmas
    table = sigma_space(grid.timesteps, sigmas[:-1], noise.prediction_type, keep="eps")
    table["next_x"][:] = 1.0
    for step in range(len(grid.timesteps)):
        order = min(step + 1, LMS_ORDER)
        nodes = sigmas[step - np.arange(order)]
        for j in range(order):
            others = np.delete(nodes, j)
            # Shifted to the current sigma, so that nearby nodes do not cancel.
            basis = polynomial.polyfromroots(others - nodes[0]) / np.prod(nodes[j] - others)
            integral = polynomial.polyint(basis)
            table[f"next_m{j}"][step] = polynomial.polyval(sigmas[step + 1] - nodes[0], integral)
    return table
