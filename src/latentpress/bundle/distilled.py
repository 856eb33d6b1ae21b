"""What a UNet is told that was distilled with its guidance (LCM): one input more, in place of an unconditional row."""

import numpy as np
from numpy.typing import NDArray

# The denoiser's input (batch, D) float32; a bundle whose denoiser lists it is of such a model.
TIMESTEP_COND = "timestep_cond"


def guidance_embedding(guidance_scale: float, size: int) -> NDArray[np.float32]:
    """(size,) float32: the sines, then the cosines, of 1000 * (guidance_scale - 1) at frequencies from 1 down to 1e-4.

    diffusers' get_guidance_scale_embedding (arXiv 2310.04378, 4.2), with its float32 steps: sines of thousands feel the last
    bit of a frequency. What they leave open, exp and sin, is taken in float64, so that all CPUs agree. size: >= 4.
    """
    half = size // 2
    fall = np.log(np.float32(10000)) / np.float32(half - 1)
    frequencies = np.exp((np.arange(half, dtype=np.float32) * -fall).astype(np.float64)).astype(np.float32)
    angles = (np.float32(guidance_scale - 1) * np.float32(1000) * frequencies).astype(np.float64)
    return np.concatenate([np.sin(angles), np.cos(angles), np.zeros(size % 2)]).astype(np.float32)
