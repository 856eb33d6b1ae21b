"""The graphs of a bundle: their modules, example inputs and free axes."""

from collections.abc import Iterator

import torch
from torch import Tensor

from latentpress.export import wrappers
from latentpress.export.components import Components, TextPart
from latentpress.export.trace import Graph

_MAP = {0: "batch", 2: "height", 3: "width"}


def build_graphs(parts: Components) -> Iterator[Graph]:
    """The graphs, ready to trace: the text encoders, the UNet, the VAE's two halves."""
    for part in parts.texts:
        yield _text_graph(parts, part)
    # The first axis of every input is the batch, the last two of a picture or of latents are its size; a long prompt has
    # more tokens than max_tokens.
    free = {name: {0: "batch"} for name in _example(parts, "unet")}
    free |= {"sample": _MAP, "encoder_hidden_states": {0: "batch", 1: "tokens"}}
    module = wrappers.UNet(parts.unet) if parts.added_conditioning is None else wrappers.UNetXL(parts.unet)
    yield Graph("unet", module, _example(parts, "unet"), ("noise_pred",), free)
    encoder, decoder = wrappers.VaeEncoder(parts.vae), wrappers.VaeDecoder(parts.vae)
    yield Graph("vae_encoder", encoder, _example(parts, "vae_encoder"), ("moments",), {"sample": _MAP})
    yield Graph("vae_decoder", decoder, _example(parts, "vae_decoder"), ("sample",), {"latents": _MAP})


def _text_graph(parts: Components, part: TextPart) -> Graph:
    module = wrappers.TextEncoder(
        part.model,
        eos_token_id=int(part.tokenizer.eos_token_id),
        layers=part.layers,
        penultimate=part.penultimate,
    )
    outputs = ("hidden_states",) if part.pooled_size is None else ("hidden_states", "pooled")
    return Graph(part.component, module, _example(parts, part.component), outputs, {"input_ids": {0: "batch"}})


def _example(parts: Components, name: str) -> dict[str, Tensor]:
    # Batch, height and width differ, and none is 1: the tracer takes equal sizes for one and 1 for a constant.
    return example_inputs(parts, name, batch=2, size=(6, 10))


def example_inputs(parts: Components, name: str, *, batch: int, size: tuple[int, int]) -> dict[str, Tensor]:
    """Inputs for graph `name`, in the sizes and ranges of real ones; the same for the same arguments.

    size: height and width of the latents.
    """
    generator = torch.Generator().manual_seed(batch * 1_000_003 + size[0] * 1009 + size[1])
    height, width = size
    factor = parts.vae_scale_factor
    for part in parts.texts:
        if part.component == name:
            shape = (batch, parts.max_tokens)
            ids = torch.randint(0, int(part.model.config.vocab_size), shape, generator=generator)
            # Each row ends somewhere else, once: where it ends is what the pooled output depends on.
            ends = torch.randperm(parts.max_tokens - 1, generator=generator)[:batch] + 1
            ids[ids == part.tokenizer.eos_token_id] = 0
            ids[torch.arange(batch), ends] = part.tokenizer.eos_token_id
            return {"input_ids": ids}
    if name == "vae_encoder":
        return {"sample": torch.rand((batch, 3, height * factor, width * factor), generator=generator) * 2 - 1}
    if name == "vae_decoder":
        latents = torch.randn((batch, parts.latent_channels, height, width), generator=generator)
        return {"latents": latents / parts.scaling_factor}
    channels = int(parts.unet.config.in_channels)
    states = (batch, parts.max_tokens, int(parts.unet.config.cross_attention_dim))
    inputs = {
        "sample": torch.randn((batch, channels, height, width), generator=generator),
        # One timestep per row, spread over the schedule's ends and middle.
        "timestep": torch.tensor([999.0, 1.0, 401.0]).repeat(batch)[:batch],
        "encoder_hidden_states": torch.randn(states, generator=generator),
    }
    if (added := parts.added_conditioning) is not None:
        inputs["text_embeds"] = torch.randn((batch, added.pooled_size), generator=generator)
        sides = torch.tensor([height * factor, width * factor, 0, 0, height * factor, width * factor])
        inputs["time_ids"] = sides[: added.time_ids].float().repeat(batch, 1)
    return inputs
