"""Prompts with concepts -> token ids -> one text encoder's outputs, each distinct prompt encoded once.

Concepts are spliced at token level: longest match, case-sensitive, and never inside a word, so a concept `cat` leaves
"concatenate" alone. (diffusers rewrites the prompt's text instead.) Needs no torch.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentpress.runtime.bundle import Bundle
from latentpress.runtime.clip_tokenizer import ClipTokenizer
from latentpress.runtime.recent import Recent
from latentpress.runtime.session import Session

# Of encoded prompts, for each text encoder: 567 of SD 1's, 340 of SDXL's second. One that comes again after so many others
# is encoded again: 0.006 TFLOP beside the 32 of a picture of SD 1.5 in 20 steps.
KEPT_BYTES = 128 << 20

_LOOKS_LIKE_CONCEPT = re.compile(r"<[^<>\s]+>")


@dataclass(frozen=True)
class PromptCheck:
    """A prompt's length and faults: `tokens` of `limit`, the text `cut` off, `unknown` concept-like words."""

    tokens: int
    limit: int
    cut: str
    unknown: tuple[str, ...]


class PromptTokenizer:
    """A bundle's CLIPTokenizer with its concepts; knows nothing of the text encoder.

    folder: which of the bundle's tokenizers, by default the first. SDXL's two differ in what they pad with, and so in
    what they make of a "!".
    """

    def __init__(self, bundle: Bundle, folder: str | None = None) -> None:
        self._tokenizer = ClipTokenizer(bundle.file(folder or bundle.info.text_encoders[0].tokenizer))
        self._length = bundle.info.max_tokens
        self._concepts = bundle.concept_ids
        longest_first = sorted(self._concepts, key=len, reverse=True)
        self._splitter = re.compile("|".join(_word(token) for token in longest_first)) if longest_first else None

    @property
    def limit(self) -> int:
        """Tokens a prompt may use: the encoder's positions less the start and end tokens."""
        return self._length - 2

    def tokens(self, prompt: str) -> list[int]:
        """Every token id of `prompt`, uncut, without start and end; a concept gives one id per learned vector."""
        ids: list[int] = []
        position = 0
        for match in self._splitter.finditer(prompt) if self._splitter else ():
            ids += self._plain(prompt[position : match.start()]) + self._concepts[match.group()]
            position = match.end()
        return ids + self._plain(prompt[position:])

    def ids(self, prompt: str) -> NDArray[np.int64]:
        """(max_tokens,) int64: start, the prompt cut to fit, end, padding, as CLIPTokenizer pads."""
        tokenizer = self._tokenizer
        ids = [tokenizer.bos_token_id, *self.tokens(prompt)[: self.limit], tokenizer.eos_token_id]
        ids += [tokenizer.pad_token_id] * (self._length - len(ids))
        return np.asarray(ids, dtype=np.int64)

    def check(self, prompt: str) -> PromptCheck:
        """What a plan says of `prompt` before anything is rendered."""
        tokens = self.tokens(prompt)
        cut = self._tokenizer.decode(tokens[self.limit :]).strip() if len(tokens) > self.limit else ""
        unknown = tuple(word for word in _LOOKS_LIKE_CONCEPT.findall(prompt) if word not in self._concepts)
        return PromptCheck(len(tokens), self.limit, cut, unknown)

    def _plain(self, text: str) -> list[int]:
        return self._tokenizer.encode(text) if text.strip() else []


def _word(token: str) -> str:
    """A pattern for `token` that does not match inside a longer word."""
    before = r"(?<!\w)" if token[0].isalnum() else ""
    after = r"(?!\w)" if token[-1].isalnum() else ""
    return before + re.escape(token) + after


@dataclass(frozen=True, eq=False)
class Encoded:
    """One text encoder's answer to one prompt: hidden_states (max_tokens, D), pooled (P,) or None; both float32."""

    hidden_states: NDArray[np.float32]
    pooled: NDArray[np.float32] | None

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return self.hidden_states.nbytes + (0 if self.pooled is None else self.pooled.nbytes)


class TextEncoder:
    """Prompts -> `Encoded`, cached per distinct prompt and clip skip: those used last, up to KEPT_BYTES.

    Each prompt is encoded alone: a batch of one is the one case whose bits no engine can tie to its batch mates.
    """

    def __init__(self, tokenizer: PromptTokenizer, session: Session) -> None:
        self._tokenizer = tokenizer
        self._session = session
        self._cache: Recent[tuple[str, int], Encoded] = Recent(KEPT_BYTES, lambda encoded: encoded.nbytes)

    def __call__(self, prompt: str, clip_skip: int = 0) -> Encoded:
        """clip_skip: the encoder's last layers to leave out, 0 .. layers - 1 of the bundle's encoder."""
        return self._cache.get((prompt, clip_skip), lambda: self._encoded(prompt, clip_skip))

    def _encoded(self, prompt: str, clip_skip: int) -> Encoded:
        outputs = self._session.run({"input_ids": self._tokenizer.ids(prompt)[np.newaxis]})
        # A copy, not a view: the other layers' states need not stay in memory.
        hidden_states = outputs["hidden_states"][0, clip_skip].astype(np.float32)
        pooled = outputs["pooled"][0].astype(np.float32) if "pooled" in outputs else None
        return Encoded(hidden_states, pooled)
