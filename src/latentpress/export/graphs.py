"""The four graphs of a Stable Diffusion 1 bundle: their modules, example inputs and free axes."""

from typing import Any

import torch
from torch import Tensor

from latentpress.export import wrappers
from latentpress.export.checkpoint import Components
from latentpress.export.trace import Graph

_MAP = {0: "batch", 2: "height", 3: "width"}
NAMES = ("text_encoder", "unet", "vae_encoder", "vae_decoder")


def build_graphs(parts: Components) -> list[Graph]:
    """The graphs in the order of `NAMES`, ready to trace."""
    # Batch, height and width differ, and none is 1: the tracer takes equal sizes for one and 1 for a constant.
    example = {name: example_inputs(parts, name, batch=2, size=(6, 10)) for name in NAMES}
    return [
        Graph(
            "text_encoder",
            wrappers.TextEncoder(parts.text_encoder),
            example["text_encoder"],
            "last_hidden_state",
            {"input_ids": {0: "batch"}},
        ),
        Graph(
            "unet",
            wrappers.UNet(parts.unet),
            example["unet"],
            "noise_pred",
            {"sample": _MAP, "timestep": {0: "batch"}, "encoder_hidden_states": {0: "batch"}},
        ),
        Graph("vae_encoder", wrappers.VaeEncoder(parts.vae), example["vae_encoder"], "moments", {"sample": _MAP}),
        Graph("vae_decoder", wrappers.VaeDecoder(parts.vae), example["vae_decoder"], "sample", {"latents": _MAP}),
    ]


def example_inputs(parts: Components, name: str, *, batch: int, size: tuple[int, int]) -> dict[str, Tensor]:
    """Inputs for graph `name`, in the sizes and ranges of real ones; the same for the same arguments.

    size: height and width of the latents.
    """
    generator = torch.Generator().manual_seed(batch * 1_000_003 + size[0] * 1009 + size[1])
    config: Any = parts.text_encoder.config
    height, width = size
    if name == "text_encoder":
        shape = (batch, parts.max_tokens)
        return {"input_ids": torch.randint(0, int(config.vocab_size), shape, generator=generator)}
    if name == "vae_encoder":
        factor = parts.vae_scale_factor
        return {"sample": torch.rand((batch, 3, height * factor, width * factor), generator=generator) * 2 - 1}
    latents = torch.randn((batch, parts.latent_channels, height, width), generator=generator)
    if name == "vae_decoder":
        return {"latents": latents / parts.scaling_factor}
    states = torch.randn((batch, parts.max_tokens, int(config.hidden_size)), generator=generator)
    return {
        "sample": latents,
        # One timestep per row, spread over the schedule's ends and middle.
        "timestep": torch.tensor([999.0, 1.0, 401.0]).repeat(batch)[:batch],
        "encoder_hidden_states": states,
    }
