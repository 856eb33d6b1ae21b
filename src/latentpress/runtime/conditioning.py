"""Prompts and sizes -> what one UNet row attends to, for every family. Knows nothing of latents."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentpress.runtime.bundle import Bundle
from latentpress.runtime.request import RenderRequest
from latentpress.runtime.session import Session
from latentpress.runtime.text import PromptTokenizer, TextEncoder


@dataclass(frozen=True, eq=False)
class Conditioning:
    """One row's conditioning, float32: encoder_hidden_states (T, D); SDXL's text_embeds (P,) and time_ids (n,)."""

    encoder_hidden_states: NDArray[np.float32]
    text_embeds: NDArray[np.float32] | None = None
    time_ids: NDArray[np.float32] | None = None

    def inputs(self) -> dict[str, NDArray[np.float32]]:
        """By the names of the UNet's inputs, without those this family lacks."""
        if self.text_embeds is None or self.time_ids is None:
            return {"encoder_hidden_states": self.encoder_hidden_states}
        return {
            "encoder_hidden_states": self.encoder_hidden_states,
            "text_embeds": self.text_embeds,
            "time_ids": self.time_ids,
        }


class Conditioner:
    """A bundle's text encoders as one: requests -> conditioning, each distinct prompt encoded once."""

    def __init__(self, bundle: Bundle, sessions: Mapping[str, Session]) -> None:
        self._info = bundle.info
        self._encoders = [
            TextEncoder(PromptTokenizer(bundle, encoder.tokenizer), sessions[encoder.component])
            for encoder in bundle.info.text_encoders
        ]

    def cond(self, request: RenderRequest) -> Conditioning:
        """The conditional row's."""
        return self._conditioning(request, request.prompt, request.micro.aesthetic_score)

    def uncond(self, request: RenderRequest) -> Conditioning | None:
        """The unconditional row's; None without classifier-free guidance, which acts iff guidance_scale > 1."""
        if request.guidance_scale <= 1:
            return None
        found = self._conditioning(request, request.negative_prompt or "", request.micro.negative_aesthetic_score)
        if request.negative_prompt is not None or not self._info.force_zeros_for_empty_prompt:
            return found
        zeros = np.zeros_like(found.encoder_hidden_states)
        pooled = None if found.text_embeds is None else np.zeros_like(found.text_embeds)
        return Conditioning(zeros, pooled, found.time_ids)

    def _conditioning(self, request: RenderRequest, prompt: str, aesthetic_score: float) -> Conditioning:
        encoded = [encode(prompt, request.clip_skip) for encode in self._encoders]
        # One encoder's own array, not a copy of it: a run keeps one for each distinct prompt.
        states = [found.hidden_states for found in encoded]
        hidden = states[0] if len(states) == 1 else np.concatenate(states, axis=-1)
        if self._info.added_conditioning is None:
            return Conditioning(hidden)
        pooled = next(found.pooled for found in encoded if found.pooled is not None)
        return Conditioning(hidden, pooled, self._time_ids(request, aesthetic_score))

    def _time_ids(self, request: RenderRequest, aesthetic_score: float) -> NDArray[np.float32]:
        """(6,): original size, crop, target size (arXiv 2307.01952, 2.2); (5,) with the score for the target size."""
        own, micro = (request.height, request.width), request.micro
        last = (aesthetic_score,) if self._info.requires_aesthetics_score else micro.target_size or own
        return np.asarray([*(micro.original_size or own), *micro.crop_top_left, *last], dtype=np.float32)
