"""Timesteps and sigmas of every sampler, in float64 numpy; knows nothing of latents or models.

Follows the diffusers schedulers (0.39), whose defaults per class a checkpoint's scheduler configuration overrides:
the spacings and the zero terminal SNR of arXiv 2305.08891, the sigmas of Karras (arXiv 2206.00364, equation 5, rho = 7),
exponential ones, and those of the beta distribution (arXiv 2407.12173).

The configuration's keys that count are the betas, prediction_type, timestep_spacing, steps_offset, set_alpha_to_one,
rescale_betas_zero_snr, variance_type, original_inference_steps and timestep_scaling. The sampler's name decides the
rest: sigmas, orders, solver types. clip_sample is ignored, because Stable Diffusion's latents have no range to clip to.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentpress.errors import EnvironmentFailure, UsageError
from latentpress.runtime.sampling.samplers import BASES, SamplerName

Float = NDArray[np.float64]

# Settings that diffusers supports but Stable Diffusion never uses; only the value given here is accepted.
_ONLY: Mapping[str, object] = {
    "interpolation_type": "linear",
    "timestep_type": "discrete",
    "final_sigmas_type": "zero",
    "sigma_min": None,
    "sigma_max": None,
    "use_flow_sigmas": False,
    "use_lu_lambdas": False,
    "thresholding": False,
    "lambda_min_clipped": -float("inf"),
}

# alpha-bar of the last timestep where the sampler divides by it: diffusers' smallest positive float16.
_TINY = 2.0**-24


@dataclass(frozen=True)
class NoiseSchedule:
    """The training noise schedule: `alphas_cumprod` (T,) float64, `prediction_type`, and the config it came from.

    loss_sigma: the sigma up to which a loss pushes the harder, the higher it is: the highest there was before the
    schedule was rescaled to zero terminal SNR, infinite where it was not.
    """

    alphas_cumprod: Float
    prediction_type: str
    config: Mapping[str, Any]
    loss_sigma: float = float("inf")

    @property
    def sigmas(self) -> Float:
        """sqrt((1 - abar) / abar), (T,): the noise level of each training timestep, rising."""
        return np.sqrt((1 - self.alphas_cumprod) / self.alphas_cumprod)


def noise_schedule(config: Mapping[str, Any]) -> NoiseSchedule:
    """The training schedule of a diffusers scheduler config (its `scheduler_config.json` as a mapping).

    Raises UsageError for a beta schedule, a prediction type or another setting that is not implemented.
    """
    where = "scheduler_config.json"
    for key, value in _ONLY.items():
        if config.get(key, value) != value:
            raise UsageError(f"{where}: {key} {config[key]!r} is not supported; it must be {value!r}")
    prediction_type = str(config.get("prediction_type", "epsilon"))
    if prediction_type not in ("epsilon", "v_prediction"):
        raise UsageError(f"{where}: prediction_type {prediction_type!r} is not supported; use epsilon or v_prediction")
    return NoiseSchedule(_alphas_cumprod(np.float32(1) - _betas(config, where)), prediction_type, config)


def _betas(config: Mapping[str, Any], where: str) -> NDArray[np.float32]:
    # float32 throughout, as diffusers computes it: the published schedules *are* these rounded numbers.
    if config.get("trained_betas") is not None:
        return np.asarray(config["trained_betas"], dtype=np.float32)
    steps = int(config.get("num_train_timesteps", 1000))
    start, end = float(config.get("beta_start", 0.0001)), float(config.get("beta_end", 0.02))
    kind = config.get("beta_schedule", "linear")
    if kind == "scaled_linear":
        return np.linspace(start**0.5, end**0.5, steps, dtype=np.float32) ** 2
    if kind == "linear":
        return np.linspace(start, end, steps, dtype=np.float32)
    raise UsageError(f"{where}: beta_schedule {kind!r} is not supported; use scaled_linear or linear")


def _alphas_cumprod(alphas: NDArray[np.float32]) -> Float:
    # torch accumulates a float32 product in float64 and rounds each partial product.
    return np.cumprod(alphas, dtype=np.float64).astype(np.float32).astype(np.float64)


def schedule_for(noise: NoiseSchedule, sampler: SamplerName) -> NoiseSchedule:
    """`noise` as `sampler` sees it: with zero terminal SNR where the config asks and its diffusers class knows of it.

    arXiv 2305.08891, algorithm 1. DDIM, DDPM, LCM and TCD take alpha-bar = 0 as it is; others divide by it and take 2^-24.
    """
    exact = sampler.base.name in ("ddim", "ddpm", "lcm", "tcd")
    clamped = sampler.base.name in ("euler", "euler_a", "dpmpp_2m", "dpmpp_2m_sde", "unipc")
    if not noise.config.get("rescale_betas_zero_snr") or not (exact or clamped):
        return noise
    root = np.sqrt(noise.alphas_cumprod.astype(np.float32))
    first, last = root[0], root[-1]
    root = (root - last) * (first / (first - last))
    squared = root**2
    # To betas and back again, as diffusers does, for its float32 rounding.
    betas = np.float32(1) - np.append(squared[:1], squared[1:] / squared[:-1])
    abar = _alphas_cumprod(np.float32(1) - betas)
    if clamped:
        abar[-1] = _TINY
    elif noise.prediction_type == "epsilon":
        raise UsageError(
            "scheduler_config.json: rescale_betas_zero_snr with prediction_type epsilon leaves "
            f"{sampler.base.name} nothing to start from; such a checkpoint predicts v_prediction, or use euler"
        )
    return NoiseSchedule(abar, noise.prediction_type, noise.config, float(noise.sigmas[-1]))


@dataclass(frozen=True)
class Discretization:
    """`timesteps` (N,) as the UNet gets them, `sigmas` (N + 1,) with the one after the last step, `init_noise_sigma`."""

    timesteps: Float
    sigmas: Float
    init_noise_sigma: float


def check_given(sampler: SamplerName, timesteps: Sequence[int], train: int) -> None:
    """Raises UsageError where diffusers' scheduler of `sampler` does not take these of its `train` training timesteps."""
    base = sampler.base.name
    if not sampler.base.given:
        takers = ", ".join(other.name for other in BASES.values() if other.given)
        raise UsageError(
            f"timesteps are given, and {base} does not take any, as diffusers' {sampler.base.scheduler} does not; "
            f"use one of {takers}, or leave timesteps out"
        )
    if sampler.sigmas is not None:
        raise UsageError(
            f"timesteps are given, and {base} with {sampler.sigmas} sigmas has its own; use {base}, or leave timesteps out"
        )
    if any(later >= earlier for earlier, later in itertools.pairwise(timesteps)):
        raise UsageError(f"timesteps are {_listed(timesteps)}; each must be smaller than the one before")
    if not (timesteps[-1] >= 0 and timesteps[0] < train):
        raise UsageError(
            f"timesteps are {_listed(timesteps)}; they must lie in 0..{train - 1}, the training timesteps of this checkpoint"
        )


def _listed(timesteps: Sequence[int]) -> str:
    """A list for a message, the middle of a long one left out."""
    few = [*timesteps[:6], "...", timesteps[-1]] if len(timesteps) > 8 else timesteps
    return f"[{', '.join(map(str, few))}]"


def discretize(noise: NoiseSchedule, sampler: SamplerName, steps: int, given: Sequence[int] = ()) -> Discretization:
    """The timesteps and sigmas at which the `steps` >= 1 steps of `sampler` begin: at those `given`, if there are any.

    Raises UsageError where the training schedule has too few timesteps for `steps`, and as `check_given` does.
    """
    train, base = len(noise.alphas_cumprod), sampler.base.name
    if given:
        check_given(sampler, given, train)
        assert len(given) == steps, "a request has as many timesteps as steps"
    if not 1 <= steps <= train:
        raise UsageError(f"steps is {steps}; it must lie in 1..{train}, the training timesteps of this checkpoint")
    if base in ("lcm", "tcd"):
        timesteps = np.array(given, np.float64) if given else _distilled_timesteps(noise.config, train, steps, base)
        return Discretization(timesteps, np.zeros(steps + 1), 1.0)
    # diffusers' family of DPM-Solver: whole timesteps, N + 1 of them with the last left out, option sigmas over all of
    # the training schedule rather than between the first and last of their own.
    whole = base in ("dpmpp_2m", "dpmpp_2m_sde", "unipc", "deis")
    signal_space = base in ("ddim", "ddpm", "pndm")
    spacing = sampler.spacing or str(noise.config.get("timestep_spacing", "leading" if signal_space else "linspace"))
    offset = int(noise.config.get("steps_offset", 0))
    if given:  # a spacing then decides the scale of the initial noise alone
        timesteps = np.array(given, np.float64)
    else:
        timesteps = _timesteps(spacing, train, steps, offset, whole=whole, rounded=whole or signal_space)
    if signal_space:
        return Discretization(timesteps, np.zeros(steps + 1), 1.0)
    sigmas = np.interp(timesteps, np.arange(train), noise.sigmas)
    if sampler.sigmas is not None:
        first, last = (noise.sigmas[-1], noise.sigmas[0]) if whole else (sigmas[0], sigmas[-1])
        sigmas = _option_sigmas(sampler.sigmas, first, last, steps)
        timesteps = timestep_of(noise, sigmas)
        if sampler.sigmas == "karras" and (whole or base in ("kdpm2", "kdpm2_a")):
            timesteps = timesteps.round()
        elif whole:
            timesteps = _cut_off(noise, sampler.sigmas, steps)
    final = 0.0
    if base == "deis":  # it stops at the smallest sigma; with option sigmas its last step stands still
        final = noise.sigmas[0] if sampler.sigmas is None else sigmas[-1]
    if whole:
        init = 1.0
    else:
        init = float(sigmas.max()) if spacing in ("linspace", "trailing") else float(np.sqrt(sigmas.max() ** 2 + 1))
    return Discretization(timesteps, np.append(sigmas, final), init)


def timestep_of(noise: NoiseSchedule, sigmas: Float) -> Float:
    """The timesteps (fractions of them, too) at which the training schedule has `sigmas`."""
    return np.interp(np.log(sigmas), np.log(noise.sigmas), np.arange(len(noise.sigmas)))


def _cut_off(noise: NoiseSchedule, option: str, steps: int) -> Float:
    """The whole timesteps of `option` sigmas in diffusers' DPM-Solver family, which cuts off their fractions.

    diffusers looks sigmas up by logarithms rounded to float32, and so finds the first at 998.9999 rather than 999: it
    begins at 998.
    """
    abar = noise.alphas_cumprod.astype(np.float32)
    sigmas = np.sqrt((np.float32(1) - abar) / abar)
    # Not float32's own logarithm, whose last bit depends on the CPU.
    logs = np.log(sigmas.astype(np.float64)).astype(np.float32)
    asked = _option_sigmas(option, float(sigmas[-1]), float(sigmas[0]), steps)
    return np.trunc(np.interp(np.log(asked), logs, np.arange(len(logs))))


def _timesteps(spacing: str, train: int, steps: int, offset: int, *, whole: bool, rounded: bool) -> Float:
    """arXiv 2305.08891, table 2, falling."""
    if spacing == "leading":
        count = steps + 1 if whole else steps
        values = (np.arange(count) * (train // count))[::-1][:steps] + offset
    elif spacing == "trailing":
        values = np.round(np.arange(train, 0, -train / steps))[:steps] - 1
    elif spacing == "linspace":
        values = np.linspace(0, train - 1, steps + 1 if whole else steps)[::-1][:steps]
        values = values.round() if rounded else values
    else:
        raise UsageError(
            f"scheduler_config.json: timestep_spacing {spacing!r} is not supported; use leading, linspace or trailing"
        )
    # An offset can push the first leading timestep past the table at many steps.
    return np.clip(values.astype(np.float64), 0, train - 1)


def _distilled_timesteps(config: Mapping[str, Any], train: int, steps: int, base: str) -> Float:
    """Evenly among the timesteps the model was distilled at (arXiv 2310.04378, section 4.3)."""
    distilled = int(config.get("original_inference_steps", 50))
    if steps > distilled:
        raise UsageError(f"steps is {steps}; {base} takes 1..{distilled}, the timesteps such models are distilled at")
    origin = np.arange(distilled, 0, -1) * (train // distilled) - 1
    return origin[np.floor(np.linspace(0, distilled, steps, endpoint=False)).astype(int)].astype(np.float64)


def _option_sigmas(option: str, first: float, last: float, steps: int, rho: float = 7.0) -> Float:
    ramp = np.linspace(0, 1, steps)
    if option == "karras":
        low, high = last ** (1 / rho), first ** (1 / rho)
        return (high + ramp * (low - high)) ** rho
    if option == "exponential":
        return np.exp(np.linspace(np.log(first), np.log(last), steps))
    try:
        from scipy.stats import beta
    except ModuleNotFoundError:
        raise EnvironmentFailure(
            "beta sigmas need the package scipy; pip install scipy, or use karras sigmas"
        ) from None
    return last + np.asarray(beta.ppf(1 - ramp, 0.6, 0.6), dtype=np.float64) * (first - last)
