"""Timesteps and sigmas of every sampler, in float64 numpy; knows nothing of latents or models.

Follows the diffusers schedulers of the same names (0.39), whose defaults per class a checkpoint's scheduler config
overrides: DDIM (arXiv 2010.02502), Euler and Euler ancestral (k-diffusion), LMS (k-diffusion), DPM++ 2M (arXiv
2211.01095), Karras sigmas (arXiv 2206.00364, equation 5, rho = 7).
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentpress.errors import UsageError, shown

Float = NDArray[np.float64]

SAMPLERS: tuple[str, ...] = (
    "ddim",
    "euler",
    "euler_a",
    "lms",
    "dpmpp_2m",
    "euler_karras",
    "lms_karras",
    "dpmpp_2m_karras",
)

# What people type for the same things: A1111's labels (lower-cased, spaces as _), k-diffusion's and diffusers' names.
_ALIASES = {
    "k_lms": "lms",
    "k_euler": "euler",
    "k_euler_a": "euler_a",
    "k_euler_ancestral": "euler_a",
    "euler_ancestral": "euler_a",
    "dpm++_2m": "dpmpp_2m",
    "k_dpmpp_2m": "dpmpp_2m",
    "dpm++_2m_karras": "dpmpp_2m_karras",
    "ddimscheduler": "ddim",
    "eulerdiscretescheduler": "euler",
    "eulerancestraldiscretescheduler": "euler_a",
    "lmsdiscretescheduler": "lms",
    "dpmsolvermultistepscheduler": "dpmpp_2m",
}


def canonical_sampler(name: str) -> str:
    """The canonical name for `name` or one of its aliases; raises UsageError listing what is known."""
    key = name.strip().lower().replace(" ", "_").replace("-", "_")
    key = _ALIASES.get(key, key)
    if key in SAMPLERS:
        return key
    near = difflib.get_close_matches(key, [*SAMPLERS, *_ALIASES], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(f"sampler {shown(name)} is unknown; {hint}known are {', '.join(SAMPLERS)}")


@dataclass(frozen=True)
class NoiseSchedule:
    """The training noise schedule: `alphas_cumprod` (T,) float64, `prediction_type`, and the config it came from."""

    alphas_cumprod: Float
    prediction_type: str
    config: Mapping[str, Any]

    @property
    def sigmas(self) -> Float:
        """sqrt((1 - abar) / abar), (T,): the noise level of each training timestep, rising."""
        return np.sqrt((1 - self.alphas_cumprod) / self.alphas_cumprod)


def noise_schedule(config: Mapping[str, Any]) -> NoiseSchedule:
    """The training schedule of a diffusers scheduler config (its `scheduler_config.json` as a mapping).

    Raises UsageError for a beta schedule or prediction type that is not implemented.
    """
    steps = int(config.get("num_train_timesteps", 1000))
    start, end = float(config.get("beta_start", 0.0001)), float(config.get("beta_end", 0.02))
    kind = config.get("beta_schedule", "linear")
    # float32 throughout, as diffusers computes it: the published schedules *are* these rounded numbers.
    if kind == "scaled_linear":
        betas = np.linspace(start**0.5, end**0.5, steps, dtype=np.float32) ** 2
    elif kind == "linear":
        betas = np.linspace(start, end, steps, dtype=np.float32)
    else:
        raise UsageError(f"scheduler_config.json: beta_schedule {kind!r} is not supported; use scaled_linear or linear")
    prediction_type = str(config.get("prediction_type", "epsilon"))
    if prediction_type not in ("epsilon", "v_prediction"):
        raise UsageError(
            f"scheduler_config.json: prediction_type {prediction_type!r} is not supported; use epsilon or v_prediction"
        )
    abar = np.cumprod(np.float32(1) - betas, dtype=np.float32).astype(np.float64)
    return NoiseSchedule(abar, prediction_type, config)


@dataclass(frozen=True)
class Discretization:
    """`timesteps` (N,) as the UNet gets them, `sigmas` (N + 1,) ending in 0, and `init_noise_sigma`."""

    timesteps: Float
    sigmas: Float
    init_noise_sigma: float


def discretize(noise: NoiseSchedule, sampler: str, steps: int) -> Discretization:
    """The timesteps and sigmas of `sampler` (canonical name) in `steps` >= 1 steps.

    Raises UsageError where the training schedule has fewer timesteps than `steps`.
    """
    train = len(noise.alphas_cumprod)
    if not 1 <= steps <= train:
        raise UsageError(f"steps is {steps}; it must lie in 1..{train}, the training timesteps of this checkpoint")
    karras = sampler.endswith("_karras")
    solver = sampler.removesuffix("_karras")
    default = "leading" if solver == "ddim" else "linspace"
    spacing = str(noise.config.get("timestep_spacing", default))
    offset = int(noise.config.get("steps_offset", 0))
    timesteps = _timesteps(solver, spacing, train, steps, offset)
    log_sigmas = np.log(noise.sigmas)
    sigmas = np.interp(timesteps, np.arange(train), noise.sigmas)
    if karras:
        # Euler and LMS spread Karras' sigmas between the first and last of their own, DPM++ between the training ends.
        first, last = (noise.sigmas[-1], noise.sigmas[0]) if solver == "dpmpp_2m" else (sigmas[0], sigmas[-1])
        sigmas = _karras(first, last, steps)
        timesteps = np.interp(np.log(sigmas), log_sigmas, np.arange(train))
        if solver == "dpmpp_2m":
            timesteps = timesteps.round()
    if solver in ("ddim", "dpmpp_2m"):
        init = 1.0
    elif spacing in ("linspace", "trailing"):
        init = float(sigmas.max())
    else:
        init = float(np.sqrt(sigmas.max() ** 2 + 1))
    return Discretization(timesteps, np.append(sigmas, 0.0), init)


def _timesteps(solver: str, spacing: str, train: int, steps: int, offset: int) -> Float:
    if spacing == "leading":
        # diffusers' DPM++ drops the last of N + 1 timesteps, the others take N.
        count = steps + 1 if solver == "dpmpp_2m" else steps
        values = np.arange(count) * (train // count)
        values = values[::-1][:steps] + offset
    elif spacing == "trailing":
        values = np.round(np.arange(train, 0, -train / steps))[:steps] - 1
    elif spacing == "linspace":
        if solver == "dpmpp_2m":
            values = np.linspace(0, train - 1, steps + 1).round()[::-1][:-1]
        elif solver == "ddim":
            values = np.linspace(0, train - 1, steps).round()[::-1]
        else:
            values = np.linspace(0, train - 1, steps, dtype=np.float32)[::-1]
    else:
        raise UsageError(
            f"scheduler_config.json: timestep_spacing {spacing!r} is not supported; use leading, linspace or trailing"
        )
    # An offset can push the first leading timestep past the table at tiny step counts.
    return np.clip(values.astype(np.float64), 0, train - 1)


def _karras(first: float, last: float, steps: int, rho: float = 7.0) -> Float:
    ramp = np.linspace(0, 1, steps)
    low, high = last ** (1 / rho), first ** (1 / rho)
    return (high + ramp * (low - high)) ** rho
