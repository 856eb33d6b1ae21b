"""Samplers that step on the training schedule's own alpha-bar: DDIM, DDPM, PNDM, LCM and TCD."""

import numpy as np

from latentpress.runtime.sampling.schedule import Discretization, Float, NoiseSchedule
from latentpress.runtime.sampling.solvers.columns import Table, signal_space


def ddim(noise: NoiseSchedule, grid: Discretization, eta: float) -> Table:
    """arXiv 2010.02502, equations 12 and 16, in x0 and x, which also holds where alpha is 0."""
    timesteps = grid.timesteps.astype(int)
    abar = noise.alphas_cumprod[timesteps]
    after = _abar_at(noise, timesteps - len(noise.alphas_cumprod) // len(timesteps), to_one=True)
    alpha, sigma = np.sqrt(abar), np.sqrt(1 - abar)
    table = signal_space(grid.timesteps, alpha, sigma, noise.prediction_type, keep="x0")
    spread = eta * np.sqrt((1 - after) / (1 - abar) * (1 - abar / after))
    # x' = alpha' * x0 + direction * eps + spread * noise, with eps = (x - alpha * x0) / sigma
    direction = np.sqrt(1 - after - spread**2)
    table["next_x"] = direction / sigma
    table["next_m0"] = np.sqrt(after) - direction * alpha / sigma
    table["next_noise"] = spread
    table["draw"][:] = float(eta > 0)
    return table


def ddpm(noise: NoiseSchedule, grid: Discretization) -> Table:
    """arXiv 2006.11239, equation 7, with the posterior's variance (or beta, as `variance_type` fixed_large asks)."""
    timesteps = grid.timesteps.astype(int)
    abar = noise.alphas_cumprod[timesteps]
    after = np.append(abar[1:], 1.0)
    table = signal_space(grid.timesteps, np.sqrt(abar), np.sqrt(1 - abar), noise.prediction_type, keep="x0")
    beta = 1 - abar / after
    table["next_m0"] = np.sqrt(after) * beta / (1 - abar)
    table["next_x"] = np.sqrt(abar / after) * (1 - after) / (1 - abar)
    small = np.maximum((1 - after) / (1 - abar) * beta, 1e-20)  # diffusers' floor
    variance = beta if noise.config.get("variance_type") == "fixed_large" else small
    # Timestep 0 takes no noise, and no draw is spent on it.
    table["draw"] = (timesteps > 0).astype(np.float64)
    table["next_noise"] = np.sqrt(variance) * table["draw"]
    return table


def pndm(noise: NoiseSchedule, grid: Discretization, start: int) -> Table:
    """arXiv 2202.09778, the pseudo linear multistep method, whose first step is corrected by a second call.

    Call `start` predicts the first step, the next repeats that step with the mean of both ends, and the others have two,
    three and then four predictions to go by, which never include the second call's.
    """
    # The second timestep comes twice: to correct the first step, then to leave it.
    timesteps = np.insert(grid.timesteps, 1, grid.timesteps[1:2]).astype(int)
    stride = len(noise.alphas_cumprod) // len(grid.timesteps)
    call = np.arange(len(timesteps)) - start
    # Where the step begins: the corrected one began one stride before.
    origin = timesteps + np.where(call == 1, stride, 0)
    now = _abar_at(noise, origin, to_one=False)
    after = _abar_at(noise, origin - stride, to_one=False)
    abar = noise.alphas_cumprod[timesteps]
    table = signal_space(
        timesteps.astype(np.float64), np.sqrt(abar), np.sqrt(1 - abar), noise.prediction_type, keep="out"
    )
    table["anchor_x"] = (call == 0).astype(np.float64)
    # equation 11: x' = sqrt(abar' / abar) * x - slope * eps
    slope = (after - now) / (now * np.sqrt(1 - after) + np.sqrt(now * (1 - now) * after))
    scale, per_output = np.sqrt(after / now), -slope
    if noise.prediction_type == "v_prediction":  # eps = alpha * out + sigma * x, of where the step begins
        scale, per_output = scale - slope * np.sqrt(1 - now), -slope * np.sqrt(now)
    table["next_x"] = np.where(call == 1, 0.0, scale)
    table["next_anchor"] = np.where(call == 1, scale, 0.0)
    # Newest first; at the calls 2, 3 and 4 the correcting call's prediction lies among them, with weight 0.
    weights = {
        0: (1.0, 0.0, 0.0, 0.0, 0.0),
        1: (1 / 2, 1 / 2, 0.0, 0.0, 0.0),
        2: (3 / 2, 0.0, -1 / 2, 0.0, 0.0),
        3: (23 / 12, -16 / 12, 0.0, 5 / 12, 0.0),
        4: (55 / 24, -59 / 24, 37 / 24, 0.0, -9 / 24),
    }
    later = (55 / 24, -59 / 24, 37 / 24, -9 / 24, 0.0)
    for row, count in enumerate(call):
        for j, weight in enumerate(weights.get(max(int(count), 0), later)):
            table[f"next_m{j}"][row] = weight * per_output[row]
    return table


def lcm(noise: NoiseSchedule, grid: Discretization) -> Table:
    """arXiv 2310.04378, algorithm 3: the consistency function's x0, noised again to the next timestep."""
    timesteps = grid.timesteps.astype(int)
    abar = noise.alphas_cumprod[timesteps]
    table = signal_space(grid.timesteps, np.sqrt(abar), np.sqrt(1 - abar), noise.prediction_type, keep="x0")
    scaled = grid.timesteps * float(noise.config.get("timestep_scaling", 10.0))
    data = 0.5  # sigma_data of the boundary condition, appendix C
    skip, out = data**2 / (scaled**2 + data**2), scaled / np.sqrt(scaled**2 + data**2)
    after = np.append(abar[1:], 1.0)  # the last step ends at the consistency function's value itself
    table["next_x"], table["next_m0"] = np.sqrt(after) * skip, np.sqrt(after) * out
    table["next_noise"] = np.sqrt(1 - after)
    table["draw"][:-1] = 1.0
    return table


def tcd(noise: NoiseSchedule, grid: Discretization, eta: float) -> Table:
    """arXiv 2402.19159, algorithm 4: down to timestep floor((1 - gamma) * next), then noised up to the next; gamma = eta.

    The last step ends at timestep 0, without noise.
    """
    timesteps = grid.timesteps.astype(int)
    abar = noise.alphas_cumprod[timesteps]
    following = np.append(timesteps[1:], 0)
    # In float32, as diffusers has it: another product may fall to the other side of a whole number.
    down = np.floor(np.float32(1 - eta) * following.astype(np.float32)).astype(int)
    reached, after = noise.alphas_cumprod[down], noise.alphas_cumprod[following]
    alpha, sigma = np.sqrt(abar), np.sqrt(1 - abar)
    table = signal_space(grid.timesteps, alpha, sigma, noise.prediction_type, keep="x0")
    # sqrt(reached) * x0 + sqrt(1 - reached) * eps, with eps = (x - alpha * x0) / sigma
    scale, direction = np.sqrt(after / reached), np.sqrt(1 - reached)
    table["next_x"] = scale * direction / sigma
    table["next_m0"] = scale * (np.sqrt(reached) - direction * alpha / sigma)
    table["next_noise"] = np.sqrt(1 - after / reached)
    table["draw"][:-1] = float(eta > 0)
    return table


def _abar_at(noise: NoiseSchedule, timesteps: Float, *, to_one: bool) -> Float:
    """alpha-bar at whole `timesteps`; below 0 it is 1 or the first, as `set_alpha_to_one` says, by default `to_one`."""
    final = 1.0 if noise.config.get("set_alpha_to_one", to_one) else noise.alphas_cumprod[0]
    inside = np.clip(timesteps, 0, len(noise.alphas_cumprod) - 1).astype(np.intp)
    return np.where(timesteps >= 0, noise.alphas_cumprod[inside], final)
