"""Independent things to compare with: PSNR, and the diffusers scheduler of a sampler's name."""

import contextlib
import sys
from unittest import mock

import diffusers
import numpy as np
import torch

SIGMAS = ("karras", "exponential", "beta")
SPACINGS = ("leading", "linspace", "trailing")

_SCHEDULERS = {
    "ddim": (diffusers.DDIMScheduler, {}),
    "ddpm": (diffusers.DDPMScheduler, {}),
    "pndm": (diffusers.PNDMScheduler, {"skip_prk_steps": True}),
    "lcm": (diffusers.LCMScheduler, {}),
    "tcd": (diffusers.TCDScheduler, {}),
    "euler": (diffusers.EulerDiscreteScheduler, {}),
    "euler_a": (diffusers.EulerAncestralDiscreteScheduler, {}),
    "heun": (diffusers.HeunDiscreteScheduler, {}),
    "lms": (diffusers.LMSDiscreteScheduler, {}),
    "kdpm2": (diffusers.KDPM2DiscreteScheduler, {}),
    "kdpm2_a": (diffusers.KDPM2AncestralDiscreteScheduler, {}),
    "dpmpp_2m": (diffusers.DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++"}),
    "dpmpp_2m_sde": (diffusers.DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}),
    "dpmpp_sde": (diffusers.DPMSolverSDEScheduler, {}),
    "unipc": (diffusers.UniPCMultistepScheduler, {}),
    "deis": (diffusers.DEISMultistepScheduler, {}),
}


def diffusers_scheduler(sampler, config, seed=None):
    """The diffusers scheduler of our canonical name `sampler`, from a scheduler_config.json's contents.

    seed: of the picture, where the scheduler draws from a generator of its own (dpmpp_sde).
    """
    options = {} if seed is None or not sampler.startswith("dpmpp_sde") else {"noise_sampler_seed": seed}
    for spacing in SPACINGS:
        if sampler.endswith(f"_{spacing}"):
            options["timestep_spacing"], sampler = spacing, sampler.removesuffix(f"_{spacing}")
    for sigmas in SIGMAS:
        if sampler.endswith(f"_{sigmas}"):
            options[f"use_{sigmas}_sigmas"], sampler = True, sampler.removesuffix(f"_{sigmas}")
    scheduler, settings = _SCHEDULERS[sampler]
    return scheduler.from_config({**config, **settings, **options})


class _Widened:
    """`torch` or `numpy` with its float32 read as float64."""

    def __init__(self, module, float64):
        self._module, self.float32 = module, float64

    def __getattr__(self, name):
        return getattr(self._module, name)


@contextlib.contextmanager
def in_float64(scheduler, draws=None):
    """diffusers' own code of `scheduler`, computing in float64; yields it. It rounds to float32 in places otherwise.

    Its alpha-bars stay the float32 numbers that they are. draws: an iterator of unit noise to take in place of its own.
    """
    module = sys.modules[type(scheduler).__module__]
    replaced = {"torch": _Widened(torch, torch.float64), "np": _Widened(np, np.float64)}
    if draws is not None and hasattr(module, "randn_tensor"):
        replaced["randn_tensor"] = lambda *args, **kwargs: next(draws)
    abar, default = scheduler.alphas_cumprod.double(), torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with mock.patch.multiple(module, **replaced):
            wide = type(scheduler).from_config(scheduler.config)
            wide.alphas_cumprod = abar
            if hasattr(wide, "final_alpha_cumprod") and not wide.config.set_alpha_to_one:
                wide.final_alpha_cumprod = abar[0]
            yield wide
    finally:
        torch.set_default_dtype(default)


def psnr(found, expected) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures."""
    error = np.mean((np.asarray(found, dtype=np.float64) - np.asarray(expected, dtype=np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))
