"""Multistep samplers in lambda = log(alpha / sigma): DPM++ 2M and its SDE, DEIS, UniPC. One UNet call a step.

Each takes the step `start`, which has no history, at first order.
"""

from collections.abc import Callable

import numpy as np

from latentpress.runtime.sampling.schedule import Discretization, Float, NoiseSchedule
from latentpress.runtime.sampling.solvers.columns import DEPTH, Table, signal_space


def dpmpp_2m(noise: NoiseSchedule, grid: Discretization, start: int) -> Table:
    """arXiv 2211.01095, algorithm 2 (midpoint)."""
    return _dpmpp(noise, grid, start, stochastic=False)


def dpmpp_2m_sde(noise: NoiseSchedule, grid: Discretization, start: int) -> Table:
    """arXiv 2211.01095, section 5, SDE-DPM-Solver++(2M), midpoint. It draws at the last step too, with weight 0."""
    return _dpmpp(noise, grid, start, stochastic=True)


def _dpmpp(noise: NoiseSchedule, grid: Discretization, start: int, *, stochastic: bool) -> Table:
    alpha, sigma = _alpha_sigma(grid.sigmas)
    table = signal_space(grid.timesteps, alpha[:-1], sigma[:-1], noise.prediction_type, keep="x0")
    decay = grid.sigmas[1:] / grid.sigmas[:-1]  # exp(-h), 0 in the last step
    shrink = decay if stochastic else np.ones_like(decay)
    table["next_x"] = sigma[1:] / sigma[:-1] * shrink
    table["next_m0"] = alpha[1:] * (1 - decay * shrink)
    # The second-order term, where there is a prediction before and the sigma after is not 0.
    second = np.arange(start + 1, len(decay) - 1)
    past = np.log(decay[second - 1]) / np.log(decay[second])  # r0 = h_0 / h
    correction = table["next_m0"][second] / (2 * past)
    table["next_m0"][second] += correction
    table["next_m1"][second] = -correction
    if stochastic:
        table["next_noise"] = sigma[1:] * np.sqrt(1 - decay**2)
        table["draw"][:] = 1.0
    return table


def deis(noise: NoiseSchedule, grid: Discretization, start: int) -> Table:
    """arXiv 2204.13902, log-rho multistep DEIS of order 2; below 15 steps the last one is of first order."""
    alpha, sigma = _alpha_sigma(grid.sigmas)
    rho = grid.sigmas  # sigma / alpha
    count = len(grid.timesteps)
    table = signal_space(grid.timesteps, alpha[:-1], sigma[:-1], noise.prediction_type, keep="eps")
    table["next_x"] = alpha[1:] / alpha[:-1]
    # First order: eps held over the step, x' / alpha' = x / alpha + (rho' - rho) * eps.
    table["next_m0"] = alpha[1:] * np.diff(rho)
    lower_last = bool(noise.config.get("lower_order_final", True)) and count < 15
    for step in range(start + 1, count - int(lower_last)):
        after, now, past = rho[step + 1], rho[step], rho[step - 1]
        table["next_m0"][step] = alpha[step + 1] * (_log_integral(after, now, past) - _log_integral(now, now, past))
        table["next_m1"][step] = alpha[step + 1] * (_log_integral(after, past, now) - _log_integral(now, past, now))
    return table


def _log_integral(rho: float, node: float, other: float) -> float:
    """The integral up to `rho` of the line in log rho that is 1 at `node` and 0 at `other`."""
    return rho * (np.log(rho) - np.log(other) - 1) / (np.log(node) - np.log(other))


def unipc(noise: NoiseSchedule, grid: Discretization, start: int) -> Table:
    """arXiv 2302.04867, UniPC-2 with B(h) = exp(-h) - 1 ("bh2"), predicting x0; the last step is of first order.

    Each call first corrects the step that led to it: the corrected latents become the anchor, and the next step begins
    there. What it predicted before, x, is not used again.
    """
    alpha, sigma = _alpha_sigma(grid.sigmas)
    count = len(grid.timesteps)
    table = signal_space(grid.timesteps, alpha[:-1], sigma[:-1], noise.prediction_type, keep="x0")
    lambdas = np.append(-np.log(grid.sigmas[:-1]), np.inf)
    for call in range(start, count):
        # Weights over (x, anchor, m_0 .. m_4).
        corrected = np.zeros(2 + DEPTH)
        if call == start:
            corrected[0] = 1.0
        else:
            order = min(2, call - start)  # that of the step just taken, which was not the last
            corrected[1] = sigma[call] / sigma[call - 1]
            table["anchor_move"][call] = alpha[call - 1] / alpha[call]  # the anchor lies at the step's beginning
            corrected[2:] = alpha[call] * _corrector(lambdas, call, order)
        order = min(2, count - call, call - start + 1)
        following = sigma[call + 1] / sigma[call] * corrected
        following[2:] += alpha[call + 1] * _predictor(lambdas, call, order)
        for position, source in enumerate(("x", "anchor", *(f"m{j}" for j in range(DEPTH)))):
            table[f"anchor_{source}"][call] = corrected[position]
            table[f"next_{source}"][call] = following[position]
    return table


def _predictor(lambdas: Float, call: int, order: int) -> Float:
    """UniP's weights of m_0, m_1, .. in the step from `call`, per alpha of its end (equation 3 with x0)."""
    h = lambdas[call + 1] - lambdas[call]
    weights, growth = np.zeros(DEPTH), -np.expm1(-h)
    weights[0] = growth
    if order == 2:
        past = (lambdas[call - 1] - lambdas[call]) / h
        half = growth / (2 * past)
        weights[0] -= half
        weights[1] += half
    return weights


def _corrector(lambdas: Float, call: int, order: int) -> Float:
    """UniC's weights of m_0 (at `call`), m_1, m_2 in the step that led to `call`, per alpha of its end (equation 9)."""
    h = lambdas[call] - lambdas[call - 1]
    weights, growth = np.zeros(DEPTH), -np.expm1(-h)
    weights[1] = growth
    if order == 1:
        newest = 0.5
    else:
        past = (lambdas[call - 2] - lambdas[call - 1]) / h
        # Two moment conditions on the differences at `past` and at 1, solved exactly.
        phi_2 = np.expm1(-h) / -h - 1
        phi_3 = phi_2 / -h - 0.5
        moments = np.array([phi_2, 2 * phi_3]) / np.expm1(-h)
        older, newest = np.linalg.solve(np.array([[1.0, 1.0], [past, 1.0]]), moments)
        weights[2] += growth * older / past
        weights[1] -= growth * older / past
    weights[0] += growth * newest
    weights[1] -= growth * newest
    return weights


def _alpha_sigma(sigmas: Float) -> tuple[Float, Float]:
    """alpha and sigma, alpha^2 + sigma^2 = 1, of sigma / alpha = `sigmas`."""
    alpha = 1 / np.sqrt(sigmas**2 + 1)
    return alpha, sigmas * alpha


SOLVERS: dict[str, Callable[[NoiseSchedule, Discretization, int], Table]] = {
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_2m_sde": dpmpp_2m_sde,
    "deis": deis,
    "unipc": unipc,
}
