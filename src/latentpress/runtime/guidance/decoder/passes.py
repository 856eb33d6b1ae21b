"""The decoder on an engine as a function that PyTorch differentiates, for any loss on its pictures."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentpress.engines.engine import EngineChoice, Session
from latentpress.runtime.guidance.decoder.graph import GRADIENT, LATENT_GRADIENT, LATENTS, SAMPLE

# What the way back needs of the way ahead, by the graphs' names: 459 MB for a picture of 256 x 256 with SD 1.5's decoder.
Kept = Mapping[str, NDArray[Any]]
# Bytes of it that several rows may take together; a row that takes more goes alone.
BUDGET = 1 << 30


class EngineDecoder:
    """As TorchDecoder (guidance/gradient.py), on an engine, and for any number of rows, which do not touch one another.

    forward, backward: sessions of `forward_graph` and `backward_graph`. most: the rows of a call, None for as many as
    BUDGET has room for. It is a session too, of both ways: what there is to compare with torch.
    """

    note = ""

    def __init__(self, forward: Session, backward: Session, scaling_factor: float, most: int | None = None) -> None:
        self.most = most
        self._forward = forward
        self._backward = backward
        self._scaling_factor = scaling_factor
        self._row_bytes: dict[tuple[int, ...], int] = {}

    @property
    def engine(self) -> EngineChoice:
        """What it runs on."""
        return self._forward.engine

    def __call__(self, x0: Tensor) -> Tensor:
        """x0 (n, 4, h, w) -> pictures (n, 3, H, W), about 0..1, not clamped; differentiable."""
        sample = cast(Tensor, _Decoded.apply(x0 / self._scaling_factor, self))
        return sample / 2 + 0.5

    def rows(self, shape: tuple[int, ...]) -> int:
        """How many latents of that shape (4, h, w) go together; one, until one has shown what it takes."""
        if self.most is not None:
            return self.most
        return max(1, BUDGET // self._row_bytes.get(shape, BUDGET))

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Both ways: latents and dL/dsample -> sample and dL/dlatents."""
        sample, kept = self.ahead(inputs[LATENTS])
        return {SAMPLE: sample, LATENT_GRADIENT: self.back(inputs[GRADIENT], kept)}

    def ahead(self, latents: NDArray[np.float32]) -> tuple[NDArray[np.float32], Kept]:
        """latents (n, 4, h, w) -> sample (n, 3, H, W), and what `back` needs."""
        kept = dict(self._forward.run({LATENTS: latents}))
        sample = kept.pop(SAMPLE)
        self._row_bytes[latents.shape[1:]] = max(1, sum(array.nbytes for array in kept.values()) // len(latents))
        return sample, kept

    def back(self, gradient: NDArray[np.float32], kept: Kept) -> NDArray[np.float32]:
        """dL/dsample -> dL/dlatents, for the rows that `ahead` kept this of."""
        return self._backward.run({GRADIENT: gradient, **kept})[LATENT_GRADIENT]


class _Decoded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, latents: Tensor, decoder: EngineDecoder) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        sample, ctx.kept = decoder.ahead(latents.detach().contiguous().numpy())
        ctx.decoder = decoder
        return torch.from_numpy(sample)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        # Kept until the graph is let go: some losses go back several times (gradient.py).
        return torch.from_numpy(ctx.decoder.back(gradients[0].contiguous().numpy(), ctx.kept)), None
