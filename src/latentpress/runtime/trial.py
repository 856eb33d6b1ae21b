"""Inputs of the right shapes for one component, to time its engine with: what they hold does not matter."""

import numpy as np
from numpy.typing import NDArray

from latentpress.runtime.bundle import BundleInfo
from latentpress.runtime.session import Array


def trial_inputs(info: BundleInfo, component: str, rows: int, height: int, width: int) -> dict[str, Array]:
    """`rows` rows of inputs for the text encoders, `unet` or `vae_decoder`, at pictures of height x width pixels."""
    random = np.random.default_rng(0)
    side = height // info.vae_scale_factor, width // info.vae_scale_factor

    def normal(*shape: int) -> NDArray[np.float32]:
        return random.standard_normal(shape, dtype=np.float32)

    if component == "vae_decoder":
        return {"latents": normal(rows, info.latent_channels, *side)}
    if component != "unet":
        return {"input_ids": np.zeros((rows, info.max_tokens), dtype=np.int64)}
    inputs: dict[str, Array] = {
        "sample": normal(rows, info.unet_in_channels, *side),
        "timestep": np.linspace(999, 1, rows, dtype=np.float32),
        "encoder_hidden_states": normal(rows, info.max_tokens, info.cross_attention_dim),
    }
    if added := info.added_conditioning:
        inputs["text_embeds"] = normal(rows, added.pooled_size)
        inputs["time_ids"] = np.tile(np.asarray([*(height, width) * 3][: added.time_ids], dtype=np.float32), (rows, 1))
    return inputs
