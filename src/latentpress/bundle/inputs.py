"""What goes into each graph of a bundle: the inputs' names and shapes, and arrays of realistic values.

Engines are built for these shapes. Exports are traced and compared, and calls are timed, with these arrays.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from latentpress.bundle.info import AddedConditioning, BundleInfo

Array = NDArray[Any]

MICRO_BATCH = 4  # pictures per decoder call; its activations, not its weights, fill memory


class Widths(Protocol):
    """What shapes depend on besides the batch and the picture's size; a bundle has these facts, and so has a checkpoint."""

    @property
    def max_tokens(self) -> int: ...
    @property
    def cross_attention_dim(self) -> int: ...
    @property
    def unet_in_channels(self) -> int: ...
    @property
    def added_conditioning(self) -> AddedConditioning | None: ...
    @property
    def latent_channels(self) -> int: ...
    @property
    def vae_scale_factor(self) -> int: ...
    @property
    def scaling_factor(self) -> float: ...


def input_shapes(widths: Widths, component: str, batch: int, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Input name -> shape, in the order of the graph's inputs; size: height and width of the latents."""
    if component.startswith("text_encoder"):
        return {"input_ids": (batch, widths.max_tokens)}
    if component == "vae_encoder":
        return {"sample": (batch, 3, *(side * widths.vae_scale_factor for side in size))}
    if component == "vae_decoder":
        return {"latents": (batch, widths.latent_channels, *size)}
    shapes: dict[str, tuple[int, ...]] = {
        "sample": (batch, widths.unet_in_channels, *size),
        "timestep": (batch,),
        "encoder_hidden_states": (batch, widths.max_tokens, widths.cross_attention_dim),
    }
    if (added := widths.added_conditioning) is not None:
        shapes |= {"text_embeds": (batch, added.pooled_size), "time_ids": (batch, added.time_ids)}
    return shapes


def example_inputs(
    widths: Widths, component: str, batch: int, size: tuple[int, int], vocabulary: int = 1, end: int | None = None
) -> dict[str, Array]:
    """Arrays of `input_shapes` in realistic ranges, float32 except for int64 ids; equal arguments give equal arrays.

    vocabulary: ids are drawn below it; end: the id of the end token, which each row then has once, at a place of its own.
    """
    random = np.random.default_rng([batch, *size])
    side = [each * widths.vae_scale_factor for each in size]

    def array(name: str, shape: tuple[int, ...]) -> Array:
        if name == "input_ids":
            return _ids(random, shape, vocabulary, end)
        if name == "timestep":  # both ends of the schedule and its middle
            return np.resize(np.asarray([999, 1, 401], np.float32), shape)
        if name == "time_ids":  # as without cropping; the refiner's fifth is a score
            return np.tile(np.asarray([*side, 0, 0, *side][: shape[1]], np.float32), (batch, 1))
        if component == "vae_encoder":
            return random.random(shape, dtype=np.float32) * 2 - 1
        normal = random.standard_normal(shape, dtype=np.float32)
        return normal / np.float32(widths.scaling_factor) if component == "vae_decoder" else normal

    return {name: array(name, shape) for name, shape in input_shapes(widths, component, batch, size).items()}


def _ids(random: np.random.Generator, shape: tuple[int, ...], vocabulary: int, end: int | None) -> NDArray[np.int64]:
    ids = random.integers(0, vocabulary, shape, np.int64)
    if end is not None:
        ids[ids == end] = 0
        # Each row ends at another place, because a pooled output depends on where its row ends.
        ids[np.arange(shape[0]), 1 + random.permutation(shape[1] - 1)[: shape[0]]] = end
    return ids


def components(info: BundleInfo) -> list[str]:
    """The names of a bundle's graphs."""
    return [*(encoder.component for encoder in info.text_encoders), "unet", "vae_encoder", "vae_decoder"]
