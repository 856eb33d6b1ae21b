"""What goes into each graph of a bundle: the inputs' names and shapes, and arrays of realistic values.

Engines are built for these shapes. Exports are traced and compared, and calls are timed, with these arrays.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from latentpress.bundle.components import Component, TensorSpec
from latentpress.bundle.distilled import TIMESTEP_COND, guidance_embedding

Array = NDArray[Any]

MICRO_BATCH = 4  # pictures per decoder call; its activations, not its weights, fill memory


class Layout(Protocol):
    """What a call's arrays depend on besides the batch and the picture's size; a bundle's info has it, and a checkpoint."""

    @property
    def components(self) -> Sequence[Component]: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def vae_scale_factor(self) -> int: ...
    @property
    def scaling_factor(self) -> float: ...


def input_shapes(layout: Layout, component: str, batch: int, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Input name -> shape, in the order of the graph's inputs; size: height and width of the latents."""
    return {spec.name: _sizes(layout, spec, batch, size) for spec in _named(layout, component).inputs}


def output_shapes(layout: Layout, component: str, batch: int, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """As `input_shapes`, of the outputs."""
    return {spec.name: _sizes(layout, spec, batch, size) for spec in _named(layout, component).outputs}


def example_inputs(
    layout: Layout, component: str, batch: int, size: tuple[int, int], vocabulary: int = 1, end: int | None = None
) -> dict[str, Array]:
    """Arrays of `input_shapes` in realistic ranges, float32 except for int64 ids; equal arguments give equal arrays.

    vocabulary: ids are drawn below it; end: the id of the end token, which each row then has once, at a place of its own.
    """
    random = np.random.default_rng([batch, *size])
    side = [each * layout.vae_scale_factor for each in size]
    role = _named(layout, component).role

    def array(name: str, shape: tuple[int, ...]) -> Array:
        if name == "input_ids":
            return _ids(random, shape, vocabulary, end)
        if name == "timestep":  # both ends of the schedule and its middle
            return np.resize(np.asarray([999, 1, 401], np.float32), shape)
        if name == "time_ids":  # as without cropping; the refiner's fifth is a score
            return np.tile(np.asarray([*side, 0, 0, *side][: shape[1]], np.float32), (batch, 1))
        if name == TIMESTEP_COND:
            scales = np.resize(np.asarray([8.5, 1.0, 3.0]), batch)
            return np.stack([guidance_embedding(scale, shape[1]) for scale in scales])
        if role == "encoder":
            return random.random(shape, dtype=np.float32) * 2 - 1
        normal = random.standard_normal(shape, dtype=np.float32)
        return normal / np.float32(layout.scaling_factor) if role == "decoder" else normal

    return {name: array(name, shape) for name, shape in input_shapes(layout, component, batch, size).items()}


def _ids(random: np.random.Generator, shape: tuple[int, ...], vocabulary: int, end: int | None) -> NDArray[np.int64]:
    ids = random.integers(0, vocabulary, shape, np.int64)
    if end is not None:
        ids[ids == end] = 0
        # Each row ends at another place, because a pooled output depends on where its row ends.
        ids[np.arange(shape[0]), 1 + random.permutation(shape[1] - 1)[: shape[0]]] = end
    return ids


def _sizes(layout: Layout, spec: TensorSpec, batch: int, size: tuple[int, int]) -> tuple[int, ...]:
    height, width = size
    free = {
        "batch": batch,
        "height": height,
        "width": width,
        "pixel_height": height * layout.vae_scale_factor,
        "pixel_width": width * layout.vae_scale_factor,
        "tokens": layout.max_tokens,
    }
    return tuple(each if isinstance(each, int) else free[each] for each in spec.shape)


def _named(layout: Layout, component: str) -> Component:
    return next(one for one in layout.components if one.name == component)
