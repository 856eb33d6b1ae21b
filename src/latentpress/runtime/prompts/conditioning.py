"""Prompts and sizes -> what one UNet row attends to, for every family. Knows nothing of latents."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from latentpress.bundle.distilled import TIMESTEP_COND, guidance_embedding
from latentpress.bundle.info import Bundle
from latentpress.engines.engine import Session
from latentpress.runtime.prompt_rules import reading_of, schedule_of, texts_of
from latentpress.runtime.prompts import Reading
from latentpress.runtime.prompts.tokens import PromptTokenizer, TextEncoder
from latentpress.runtime.request import RenderRequest

# More than any run has in flight; for SDXL this many prompts' rows are 160 MB.
_ROWS_KEPT = 256


@dataclass(frozen=True, eq=False)
class Conditioning:
    """One row's conditioning, float32: encoder_hidden_states (T, D); SDXL's text_embeds (P,) and time_ids (n,).

    timestep_cond: (G,), the guidance scale's features, of a bundle that was distilled with guidance (LCM).
    T: the bundle's max_tokens, or a multiple of it where long prompts are encoded in chunks. Rows of different T cannot
    share a call: attention has no mask, so that padding one to the other's length would change its picture.
    """

    encoder_hidden_states: NDArray[np.float32]
    text_embeds: NDArray[np.float32] | None = None
    time_ids: NDArray[np.float32] | None = None
    timestep_cond: NDArray[np.float32] | None = None

    def at(self, call: int) -> "Conditioning":
        """Itself, whatever the call: `Edited` has others."""
        return self

    def inputs(self) -> dict[str, NDArray[np.float32]]:
        """The arrays by the names of the UNet's inputs, without those this family lacks."""
        arrays = {
            "encoder_hidden_states": self.encoder_hidden_states,
            "text_embeds": self.text_embeds,
            "time_ids": self.time_ids,
            TIMESTEP_COND: self.timestep_cond,
        }
        return {name: array for name, array in arrays.items() if array is not None}


@dataclass(frozen=True, eq=False)
class Edited:
    """One row's conditioning where its prompt changes between calls (`prompts.editing`); all rows of one length.

    ends: the last call that each of `rows` is for, in order, counted as A1111 counts them.
    """

    ends: tuple[int, ...]
    rows: tuple[Conditioning, ...]

    def at(self, call: int) -> Conditioning:
        """The row of a picture's `call`, counted from 0.

        A1111 compares that with ends which count from 1 (modules/prompt_parser.py, reconstruct_cond_batch), so that a text
        "up to 3" is for the first four calls; pictures from there need it so.
        """
        return self.rows[min(bisect_left(self.ends, call), len(self.rows) - 1)]


class Conditioner:
    """A bundle's text encoders as one: requests -> conditioning, each distinct prompt encoded once.

    Equal rows are one object, so that a negative prompt shared by a whole run is one array.
    """

    def __init__(self, bundle: Bundle, sessions: Mapping[str, Session]) -> None:
        self._info = bundle.info
        self._distilled = bundle.info.guidance_embedding
        encoders = bundle.info.text_encoders
        self._tokenizers = [PromptTokenizer(bundle, encoder.tokenizer) for encoder in encoders]
        self._encoders = [
            TextEncoder(tokenizer, sessions[encoder.component])
            for tokenizer, encoder in zip(self._tokenizers, encoders, strict=True)
        ]
        self._alike = lru_cache(_ROWS_KEPT)(self._conditioning)

    def cond(self, request: RenderRequest) -> Conditioning | Edited:
        """The conditional row's conditioning."""
        return self._row(request, request.prompt)

    def uncond(self, request: RenderRequest) -> Conditioning | Edited | None:
        """The unconditional row's; None without classifier-free guidance, which acts where guidance_scale > 1.

        A bundle that was distilled with guidance is told the scale in its one row instead.
        """
        if request.guidance_scale <= 1 or self._distilled is not None:
            return None
        zeros = request.negative_prompt is None and self._info.force_zeros_for_empty_prompt
        return self._row(request, request.negative_prompt or "", zeros, negative=True)

    def chunks(self, request: RenderRequest) -> int:
        """How many chunks each of the request's rows is encoded in: as many as the longest text of its prompts takes."""
        if request.long_prompts == "truncate":
            return 1
        reading = reading_of(request)
        texts = texts_of(request, negative=self._distilled is None)
        return max(len(one.chunks(text, reading)) for text in texts for one in self._tokenizers)

    def _row(
        self, request: RenderRequest, prompt: str, zeros: bool = False, *, negative: bool = False
    ) -> Conditioning | Edited:
        added = self._info.added_conditioning is not None
        time_ids = self._time_ids(request, negative) if added else None
        reading, chunks = reading_of(request), self.chunks(request)
        ends, texts = zip(*schedule_of(request, prompt), strict=True)
        scale = None if self._distilled is None else request.guidance_scale
        rows = tuple(self._alike(text, request.clip_skip, time_ids, zeros, reading, chunks, scale) for text in texts)
        return rows[0] if len(rows) == 1 else Edited(ends, rows)

    def _conditioning(
        self,
        prompt: str,
        clip_skip: int,
        time_ids: tuple[float, ...] | None,
        zeros: bool,
        reading: Reading,
        chunks: int,
        scale: float | None,
    ) -> Conditioning:
        encoded = [encode(prompt, clip_skip, reading) for encode in self._encoders]
        states = [found.hidden_states for found in encoded]
        # A shorter prompt than its partner is followed by empty chunks, as in compel and A1111.
        if missing := chunks - len(states[0]) // self._info.max_tokens:
            empty = [encode("", clip_skip).hidden_states for encode in self._encoders]
            states = [np.concatenate([own, *[none] * missing]) for own, none in zip(states, empty, strict=True)]
        # A single encoder's array is not copied, since a run keeps one for each distinct prompt.
        hidden = states[0] if len(states) == 1 else np.concatenate(states, axis=-1)
        if zeros:
            hidden = np.zeros_like(hidden)
        told = None if scale is None or self._distilled is None else guidance_embedding(scale, self._distilled)
        if time_ids is None:
            return Conditioning(hidden, timestep_cond=told)
        pooled = next(found.pooled for found in encoded if found.pooled is not None)
        sizes = np.asarray(time_ids, np.float32)
        return Conditioning(hidden, np.zeros_like(pooled) if zeros else pooled, sizes, told)

    def _time_ids(self, request: RenderRequest, negative: bool) -> tuple[float, ...]:
        """(6,): original size, crop, target size (arXiv 2307.01952, 2.2); (5,) with the score for the target size."""
        scored = self._info.requires_aesthetics_score
        micro = request.micro
        if negative:
            micro = micro.negative(scored=scored, given=request.init_image is not None)
        own = request.height, request.width
        last = (micro.aesthetic_score,) if scored else micro.target_size or own
        return (*(micro.original_size or own), *micro.crop_top_left, *last)
