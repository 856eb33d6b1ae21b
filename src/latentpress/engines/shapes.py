"""The ranges of shapes an engine is built for, and what they make of each component's inputs. Knows no engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from latentpress.bundle.info import BundleInfo
from latentpress.bundle.inputs import MICRO_BATCH, Array, input_shapes
from latentpress.errors import UsageError

# Latents a side above which samples of parity.safetensors do not go: larger ones take torch minutes on a CPU.
SAMPLE_SIDE = 64


class Span(NamedTuple):
    """The smallest, the best and the largest size of one axis."""

    low: int
    best: int
    high: int


@dataclass(frozen=True)
class ShapeProfile:
    """UNet rows and latent sizes an engine takes; `info` says what the bundle's inputs look like."""

    info: BundleInfo
    rows: Span
    height: Span
    width: Span

    def __str__(self) -> str:
        sides = " ".join(f"{name} {'/'.join(map(str, span))}" for name, span in (("h", self.height), ("w", self.width)))
        return f"rows {'/'.join(map(str, self.rows))} latents {sides}"

    def batch_of(self, component: str) -> Span:
        """Rows of one call of `component`: prompts are encoded one at a time, pictures decoded a few."""
        role = self.info.component(component).role
        if role == "denoiser":
            return self.rows
        return Span(1, MICRO_BATCH, MICRO_BATCH) if role == "decoder" else Span(1, 1, 1)

    def inputs(self, component: str) -> dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
        """Input name -> its smallest, best and largest shape."""
        corners = [self._corner(component, index) for index in range(3)]
        return {name: (corners[0][name], corners[1][name], corners[2][name]) for name in corners[0]}

    def fits(self, component: str, inputs: Mapping[str, Array]) -> bool:
        """Whether arrays of these shapes are within the ranges, whatever their batch: rows can be cut or repeated."""
        ranges = self.inputs(component)
        return all(
            low[axis] <= size <= high[axis]
            for name, (low, _, high) in ranges.items()
            for axis, size in enumerate(inputs[name].shape)
            if axis > 0
        )

    def _corner(self, component: str, index: int) -> dict[str, tuple[int, ...]]:
        size = self.height[index], self.width[index]
        return input_shapes(self.info, component, self.batch_of(component)[index], size)


def parse_profile(info: BundleInfo, text: str) -> ShapeProfile:
    """The ranges that str() of a profile says, as an engine's key has them; of anything else, ranges of nothing."""
    words = [word.split("/") for word in text.split() if word.count("/") == 2]
    if len(words) != 3 or not all(size.isdigit() for word in words for size in word):
        return ShapeProfile(info, *[Span(1, 1, 1)] * 3)
    rows, height, width = (Span(*(int(size) for size in word)) for word in words)
    return ShapeProfile(info, rows, height, width)


def shape_profile(info: BundleInfo, rows: int = 16, sizes: Sequence[tuple[int, int]] = ()) -> ShapeProfile:
    """An engine's ranges: UNet batches of 1 to `rows`, best at half of that, and pictures of `sizes`, the best first.

    sizes: (height, width) in pixels; by default the bundle's own, and down to 64 latents a side, where the samples are
    that an engine is held to. Raises UsageError for a size that is not a multiple of the VAE's factor.
    """
    factor = info.vae_scale_factor
    for height, width in sizes:
        if height % factor or width % factor or min(height, width) < factor:
            raise UsageError(
                f"--size {width}x{height}: both sides must be multiples of {factor}, e.g. "
                f"{max(1, width // factor) * factor}x{max(1, height // factor) * factor}"
            )
    if rows < 2:
        raise UsageError(f"--batch-rows {rows}: classifier-free guidance needs at least 2")
    chosen = [(height // factor, width // factor) for height, width in sizes]
    if not chosen:
        height, width = (side // factor for side in info.default_size)
        chosen = [(height, width), (min(height, SAMPLE_SIDE), min(width, SAMPLE_SIDE))]
    spans = [Span(min(axis), axis[0], max(axis)) for axis in zip(*chosen, strict=True)]
    return ShapeProfile(info, Span(1, max(1, rows // 2), rows), spans[0], spans[1])
