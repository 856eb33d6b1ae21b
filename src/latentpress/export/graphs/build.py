"""The graphs of a bundle: their modules, example inputs and free axes."""

from collections.abc import Iterator

import torch
from torch import Tensor

from latentpress.bundle.inputs import Array, example_inputs
from latentpress.export.graphs import wrappers
from latentpress.export.graphs.trace import Graph
from latentpress.export.reading.components import Components, TextPart

_MAP = {0: "batch", 2: "height", 3: "width"}


def build_graphs(parts: Components) -> Iterator[Graph]:
    """The graphs, ready to trace: the text encoders, the UNet, the VAE's two halves."""
    for part in parts.texts:
        yield _text_graph(parts, part)
    # The first axis of every input is the batch, the last two of a picture or of latents are its size; a long prompt has
    # more tokens than max_tokens.
    free = {name: {0: "batch"} for name in _example(parts, "unet")}
    free |= {"sample": _MAP, "encoder_hidden_states": {0: "batch", 1: "tokens"}}
    module = wrappers.UNETS[parts.unet.config.addition_embed_type](parts.unet)
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
    # Batch, height and width differ, and none is 1: the tracer takes equal sizes for one and 1 for a constant, also of what
    # is left of them after a UNet has halved them three times.
    inputs = component_inputs(parts, name, batch=2, size=(20, 12))
    return {key: torch.from_numpy(array) for key, array in inputs.items()}


def component_inputs(parts: Components, name: str, *, batch: int, size: tuple[int, int]) -> dict[str, Array]:
    """`example_inputs` for the graph `name` of a checkpoint, with ids of the text encoder's own vocabulary."""
    for part in parts.texts:
        if part.component == name:
            vocabulary, end = int(part.model.config.vocab_size), int(part.tokenizer.eos_token_id)
            return example_inputs(parts, name, batch, size, vocabulary, end)
    return example_inputs(parts, name, batch, size)
