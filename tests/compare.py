"""Independent things to compare with: PSNR, and the diffusers scheduler of a sampler's name."""

import diffusers
import numpy as np

_SCHEDULERS = {
    "ddim": diffusers.DDIMScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "euler_a": diffusers.EulerAncestralDiscreteScheduler,
    "lms": diffusers.LMSDiscreteScheduler,
    "dpmpp_2m": diffusers.DPMSolverMultistepScheduler,
}


def diffusers_scheduler(sampler, config):
    """The diffusers scheduler of our canonical name `sampler`, from a scheduler_config.json's contents."""
    karras = {"use_karras_sigmas": True} if sampler.endswith("_karras") else {}
    return _SCHEDULERS[sampler.removesuffix("_karras")].from_config({**config, **karras})


def psnr(found, expected) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures."""
    error = np.mean((np.asarray(found, dtype=np.float64) - np.asarray(expected, dtype=np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))
