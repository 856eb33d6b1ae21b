"""Has a model's watch time the loop's calls, a loss's gradients and the decoder, without the loop knowing."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from latentpress.runtime.guidance.context import Ask, Gradient
from latentpress.runtime.loop.denoise import Turn
from latentpress.runtime.loop.guide import Guidance
from latentpress.runtime.loop.model import Model
from latentpress.runtime.pictures.decode import Decode
from latentpress.runtime.request import K
from latentpress.runtime.timings import Measured


def timed_turns(model: Model, turns: Iterator[Turn[K]]) -> Iterator[Turn[K]]:
    """`turns`, each timed without what its gradients take, and what its pictures' beginnings do."""
    scale, tokens_a_chunk = model.info.vae_scale_factor, model.info.max_tokens
    while True:
        with model.watch.span() as span:
            turn = next(turns, None)
        if turn is None:
            return
        _, height, width, tokens = turn.shape
        what = Measured("turn", height * scale, width * scale, tokens // tokens_a_chunk, turn.rows)
        model.watch.add(what, span.own)
        yield turn


def timed_decoder(model: Model) -> Decode:
    """The decoder of `model`, timed."""

    def decode(latents: Sequence[NDArray[np.float32]]) -> list[NDArray[np.uint8] | None]:
        if not latents:
            return []
        with model.watch.measure(_of_size("decode", model, latents[0]), len(latents)):
            return model.decoder(latents)

    return decode


class TimedGuidance:
    """The loss guidance of `model`, timed."""

    def __init__(self, model: Model) -> None:
        self._guidance: Guidance = model.guidance
        self._model = model

    def gradients(
        self, asks: Sequence[Ask], begins: Callable[[Sequence[int]], None] = lambda places: None
    ) -> Sequence[Gradient | Exception]:
        """As `LossGuidance.gradients`."""
        with self._model.watch.measure(_of_size("gradient", self._model, asks[0].x0), len(asks)):
            return self._guidance.gradients(asks, begins)


def _of_size(part: str, model: Model, latents: NDArray[np.float32]) -> Measured:
    *_, height, width = latents.shape
    return Measured(part, height * model.info.vae_scale_factor, width * model.info.vae_scale_factor)
