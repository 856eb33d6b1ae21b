"""Masks at the size of a picture and of its latents, and which rules (runtime/rules.py) a mask is touched by.

A latent is masked where any pixel of the mask's file that lies under it is at least half white, so that a line thinner
than a latent stays. diffusers takes each latent's upper left pixel (`torch.nn.functional.interpolate`, nearest), after
it has resized the mask with Lanczos' filter.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentpress.runtime.pictures.files import clipped_colours, read_given
from latentpress.runtime.pictures.reading import DIFFUSERS, SHOWN, Decoded, white
from latentpress.runtime.request import ImageFile

Mask = NDArray[np.bool_]

# Masks kept at one size; one of 1024x1024 takes 1 MB, and a job names one.
_MASKS_KEPT = 4
# A matrix names the same few masks again and again.
_FACTS_KEPT = 4096

# Names of rules that pictures and masks are touched by.
MODES, PICTURE_ALPHA, MASK_ALPHA, THIN = "picture-modes", "picture-alpha", "mask-alpha", "thin-mask"


def pixel_mask(decoded: Decoded, height: int, width: int) -> Mask:
    """(height, width): where the picture is redrawn, which is where any pixel of the mask that lies there is white."""
    return _any_under(white(decoded.mask()), height, width)


def latent_mask(mask: Mask, factor: int) -> Mask:
    """(h, w) from (h * factor, w * factor): each latent is masked where any of its pixels is."""
    height, width = mask.shape
    blocks = mask.reshape(height // factor, factor, width // factor, factor)
    return np.logical_or.reduce(blocks, (1, 3))


def diffusers_mask(clipped: Image.Image, height: int, width: int) -> Mask:
    """(height, width): the mask as diffusers' VaeImageProcessor has it, of an RGB picture: resized, grey, half white."""
    return white(clipped.resize((width, height), Image.Resampling.LANCZOS).convert("L"))


def diffusers_latent_mask(mask: Mask, factor: int) -> Mask:
    """(h, w) from (h * factor, w * factor): each latent takes its upper left pixel."""
    return mask[::factor, ::factor]


@lru_cache(_FACTS_KEPT)
def all_black(file: ImageFile) -> bool:
    """Whether the mask in `file` chooses nothing at all; raises UsageError for one that cannot be read."""
    return read_given(file).mask().getbbox() is None


@dataclass(frozen=True)
class MaskFacts:
    """What a mask of one size comes to.

    rules: the names of the rules by which it differs from what it was before them; chosen: of each of the READINGS the
    share of the latents that are masked, 0..1.
    """

    rules: tuple[str, ...]
    chosen: Mapping[str, float]


@lru_cache(_MASKS_KEPT)
def mask_of(file: ImageFile, height: int, width: int, reading: str) -> Mask:
    """(height, width): the mask in `file` by one of the READINGS. Raises UsageError for one that cannot be read."""
    decoded = read_given(file)
    if reading == DIFFUSERS:
        return diffusers_mask(clipped_colours(file, decoded), height, width)
    return pixel_mask(decoded, height, width)


def latents_of(mask: Mask, factor: int, reading: str) -> Mask:
    """(h, w): a pixel mask at the size of the latents, each `factor` pixels a side, by one of the READINGS."""
    return diffusers_latent_mask(mask, factor) if reading == DIFFUSERS else latent_mask(mask, factor)


@lru_cache(_FACTS_KEPT)
def mask_facts(file: ImageFile, height: int, width: int, factor: int, pixels: bool) -> MaskFacts:
    """The facts of the mask in `file` at this size; raises UsageError for one that cannot be read.

    factor: pixels a latent; pixels: whether the model sees the mask's pixels too (an inpainting model), not its latents
    alone.
    """
    decoded = read_given(file)
    states = list(_states(decoded, height, width, factor))
    names = (MODES, MASK_ALPHA, THIN)
    rules = tuple(
        name
        for name, (old, old_mask), (new, new_mask) in zip(names, states, states[1:], strict=False)
        if not np.array_equal(old, new) or (pixels and not np.array_equal(old_mask, new_mask))
    )
    return MaskFacts(rules, {DIFFUSERS: float(states[0][0].mean()), SHOWN: float(states[-1][0].mean())})


def _states(decoded: Decoded, height: int, width: int, factor: int) -> Iterator[tuple[Mask, Mask]]:
    """(latent mask, pixel mask) before any rule, and after each of them in turn."""
    colours, grey = decoded.colours, decoded.mask()
    for picture in (decoded.clipped or colours, colours, grey):
        mask = diffusers_mask(picture, height, width)
        yield diffusers_latent_mask(mask, factor), mask
    mask = pixel_mask(decoded, height, width)
    yield latent_mask(mask, factor), mask


def _any_under(mask: Mask, height: int, width: int) -> Mask:
    """(height, width): where any pixel of `mask`, stretched to that size, covers part of the pixel there."""
    for axis, length in enumerate((height, width)):
        side = mask.shape[axis]
        if side == length:
            continue
        starts = np.arange(length) * side // length
        ends = -(-np.arange(1, length + 1) * side // length)
        counted = np.concatenate([np.zeros_like(mask.take([0], axis), np.int32), mask.cumsum(axis, np.int32)], axis)
        mask = counted.take(ends, axis) > counted.take(starts, axis)
    return mask
