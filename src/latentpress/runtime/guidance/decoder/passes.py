"""The decoder on an engine as a function that PyTorch differentiates, for any loss on its pictures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentpress.engines.engine import Session
from latentpress.runtime.guidance.decoder.graph import GRADIENT, LATENT_GRADIENT, LATENTS, SAMPLE

# What the way back needs of the way ahead, by the graphs' names: 459 MB for a picture of 256 x 256 with SD 1.5's decoder.
Kept = Mapping[str, NDArray[Any]]


class EngineDecoder:
    """As TorchDecoder (guidance/gradient.py), on an engine, and for any number of rows, which do not touch one another.

    forward, backward: sessions of `forward_graph` and `backward_graph`.
    """

    def __init__(self, forward: Session, backward: Session, scaling_factor: float) -> None:
        self._forward = forward
        self._backward = backward
        self._scaling_factor = scaling_factor

    def __call__(self, x0: Tensor) -> Tensor:
        """x0 (n, 4, h, w) -> pictures (n, 3, H, W), about 0..1, not clamped; differentiable, each once."""
        sample: Any = _Decoded.apply(x0 / self._scaling_factor, self)
        return sample / 2 + 0.5

    def ahead(self, latents: NDArray[np.float32]) -> tuple[NDArray[np.float32], Kept]:
        """latents (n, 4, h, w) -> sample (n, 3, H, W), and what `back` needs."""
        kept = dict(self._forward.run({LATENTS: latents}))
        return kept.pop(SAMPLE), kept

    def back(self, gradient: NDArray[np.float32], kept: Kept) -> NDArray[np.float32]:
        """dL/dsample -> dL/dlatents, for the rows that `ahead` kept this of."""
        return self._backward.run({GRADIENT: gradient, **kept})[LATENT_GRADIENT]


class _Decoded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, latents: Tensor, decoder: EngineDecoder) -> Tensor:
        sample, ctx.kept = decoder.ahead(latents.detach().contiguous().numpy())
        ctx.decoder = decoder
        return torch.from_numpy(sample)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        kept, ctx.kept = ctx.kept, {}
        return torch.from_numpy(ctx.decoder.back(gradients[0].contiguous().numpy(), kept)), None
