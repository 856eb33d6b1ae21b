"""The graphs of a bundle: their components, modules and example inputs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from latentpress.bundle.components import Component, Precision, stable_diffusion_components
from latentpress.bundle.inputs import Array, example_inputs
from latentpress.export.graphs import wrappers
from latentpress.export.graphs.fusing import Changes
from latentpress.export.graphs.trace import Graph
from latentpress.export.reading.components import Components


@dataclass(frozen=True)
class _Layout:
    """A checkpoint as `example_inputs` asks for it."""

    components: list[Component]
    max_tokens: int
    vae_scale_factor: int
    scaling_factor: float


def components_of(parts: Components, precision: Precision = "fp32") -> list[Component]:
    """What a bundle in `precision` made of `parts` lists: the text encoders, the UNet, the VAE's two halves."""
    return stable_diffusion_components(parts, parts.texts, precision)


def build_graphs(parts: Components, precision: Precision = "fp32", changes: Changes | None = None) -> Iterator[Graph]:
    """The graphs of `components_of`, ready to trace but for the cast to their precision, which makes `changes` too."""
    for component in components_of(parts, precision):
        # Batch, height and width differ, and none is 1: the tracer takes equal sizes for one and 1 for a constant, also of
        # what is left of them after a UNet has halved them three times.
        inputs = component_inputs(parts, component.name, batch=2, size=(20, 12))
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        yield Graph(component, _module(parts, component), tensors, {} if changes is None else changes)


def _module(parts: Components, component: Component) -> Any:
    if component.role == "encoder":
        return wrappers.VaeEncoder(parts.vae)
    if component.role == "decoder":
        return wrappers.VaeDecoder(parts.vae)
    if component.role == "denoiser":
        kind = parts.unet.config.addition_embed_type, parts.guidance_embedding is not None
        return wrappers.UNETS[kind](parts.unet)
    part = next(part for part in parts.texts if part.component == component.name)
    return wrappers.TextEncoder(
        part.model,
        eos_token_id=int(part.tokenizer.eos_token_id),
        layers=part.layers,
        penultimate=part.penultimate,
    )


def component_inputs(parts: Components, name: str, *, batch: int, size: tuple[int, int]) -> dict[str, Array]:
    """`example_inputs` for the graph `name` of a checkpoint, with ids of the text encoder's own vocabulary."""
    layout = _Layout(components_of(parts), parts.max_tokens, parts.vae_scale_factor, parts.scaling_factor)
    for part in parts.texts:
        if part.component == name:
            vocabulary, end = int(part.model.config.vocab_size), int(part.tokenizer.eos_token_id)
            return example_inputs(layout, name, batch, size, vocabulary, end)
    return example_inputs(layout, name, batch, size)
