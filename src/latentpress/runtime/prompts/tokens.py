"""Prompts with concepts -> token ids -> one text encoder's outputs, each distinct prompt encoded once.

Concepts are spliced at token level, where `concepts` finds them. (diffusers rewrites the prompt's text instead.) Needs no
torch.
"""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentpress.bundle.info import Bundle
from latentpress.engines.engine import Session
from latentpress.errors import UsageError
from latentpress.runtime.prompts import PLAIN, Reading, parse_prompt
from latentpress.runtime.prompts.chunk import Chunk, Token
from latentpress.runtime.prompts.clip_tokenizer import ClipTokenizer
from latentpress.runtime.prompts.concepts import Names, concept_like, has_literals, hide_literals, show_literals
from latentpress.runtime.prompts.parts import PromptCheck
from latentpress.runtime.prompts.plain_words import PlainWords
from latentpress.runtime.prompts.recent import Recent
from latentpress.runtime.prompts.weights import States, a1111_states, compel_states

# Of encoded prompts, for each text encoder: 567 of SD 1's, 340 of SDXL's second. A prompt that comes again after so many
# others is encoded again: 0.006 TFLOP, where a picture of SD 1.5 in 20 steps takes 32.
KEPT_BYTES = 128 << 20

# A concept, or "" for other tokens, and ids that chunks must not divide.
_Piece = tuple[str, list[int]]


class PromptTokenizer:
    """A bundle's CLIPTokenizer with its concepts; knows nothing of the text encoder.

    folder: which of the bundle's tokenizers, by default the first. SDXL's two differ in what they pad with, and so in
    how they read a "!".
    """

    def __init__(self, bundle: Bundle, folder: str | None = None) -> None:
        self._info = bundle.info
        self._encoder = next(
            (encoder for encoder in bundle.info.text_encoders if encoder.tokenizer == folder),
            bundle.info.text_encoders[0],
        )
        self._tokenizer = ClipTokenizer(
            bundle.file(self._encoder.tokenizer), bundle.taught.ids if bundle.taught else None
        )
        self._length = bundle.info.max_tokens
        self._concepts = bundle.concept_ids
        sources = {concept.token: concept.source for concept in bundle.info.concepts}
        self._names = Names(tuple(self._concepts), sources, self._tokenizer.words)

    @property
    def limit(self) -> int:
        """Tokens a prompt may use: the encoder's positions less the start and end tokens."""
        return self._length - 2

    @property
    def ordinary(self) -> tuple[str, ...]:
        """The concepts whose tokens are ordinary words too."""
        return tuple(token for token in self._concepts if self._tokenizer.is_word(token))

    @property
    def plain(self) -> PlainWords:
        """What says of most prompts at once that there is nothing to say of them."""
        return PlainWords(self.check, self._concepts, self._tokenizer.added, self._names.known, self.limit)

    def tokens(self, prompt: str) -> list[int]:
        """Every token id of `prompt`, uncut, without start and end; a concept gives one id per learned vector."""
        return [index for _, piece in self._pieces(prompt, PLAIN) for index in piece]

    def ids(self, prompt: str) -> NDArray[np.int64]:
        """(max_tokens,) int64: start, the prompt cut to fit, end, padding, as CLIPTokenizer pads."""
        return self.chunks(prompt)[0].ids

    def chunks(self, prompt: str, reading: Reading = PLAIN) -> list[Chunk]:
        """The chunks in which `prompt` is encoded: one, cut to fit, or as many as it takes. Raises as `parse_prompt`."""
        sections = self._sections(prompt, reading)
        if reading.long_prompts == "truncate":
            return [self._chunk([token for piece in sections[0] for token in piece])]
        return [self._chunk(tokens) for section in sections for tokens in self._divided(section)]

    def lowered(self, prompt: str, reading: Reading) -> dict[int, float]:
        """Part -> weight, for the parts of `prompt` that weigh less than 1."""
        parts = [part for section in parse_prompt(hide_literals(prompt), reading.weighting) for part in section]
        return {index: part.weight for index, part in enumerate(parts) if part.weight < 1}

    def check(self, prompt: str, reading: Reading = PLAIN) -> PromptCheck:
        """What a plan says of `prompt` before anything is rendered."""
        unknown = tuple(word for word in concept_like(prompt) if not self._concept_of(word, reading))
        near = () if reading.weighting == "a1111" else self._names.near(prompt)
        if reading == PLAIN:
            pieces = self._pieces(hide_literals(prompt), reading)
            count = sum([len(ids) for _, ids in pieces])
            if count <= self.limit:  # most prompts: read as they stand, and whole
                return PromptCheck(count, self.limit, "", unknown, concepts=_used(pieces), near=near)
        try:
            sections = self._sections(prompt, reading)
        except UsageError as error:
            return PromptCheck(0, self.limit, "", unknown, fault=str(error))
        found = [token for section in sections for piece in section for token in piece]
        truncated = reading.long_prompts == "truncate"
        kept = self.limit if truncated else len(found)
        cut = self._tokenizer.decode([token.id for token in found[kept:]]).strip() if found[kept:] else ""
        concepts = dict.fromkeys(token.concept for token in found[:kept] if token.concept)
        chunks = 1 if truncated else sum(len(self._divided(section)) for section in sections)
        fault = self._fault(prompt, reading, len(sections), chunks)
        return PromptCheck(len(found), self.limit, cut, unknown, chunks, fault, tuple(concepts), near)

    def found_otherwise(self, prompt: str) -> bool:
        """Whether `prompt` names a concept in A1111's dialect that is not written there to the letter."""
        if not self._concepts:
            return False
        try:
            parts = [part.text for section in parse_prompt(hide_literals(prompt), "a1111") for part in section]
        except UsageError:
            return False
        return any(_ids(self._pieces(text, Reading("a1111"))) != _ids(self._pieces(text, PLAIN)) for text in parts)

    def _fault(self, prompt: str, reading: Reading, sections: int, chunks: int) -> str | None:
        prompt = hide_literals(prompt)
        parts = [part.text for section in parse_prompt(prompt, reading.weighting) for part in section]
        left = Counter(concept for text in parts for concept in self._found(text))
        if lost := Counter(self._found(prompt)) - left:
            return (
                f"the {reading.weighting} dialect takes the concept {next(iter(lost))} apart; "
                "give it a token of letters, digits and - between < and >"
            )
        if sections > 1 and reading.long_prompts == "truncate":
            return "BREAK in the prompt begins a new chunk, and there is but one; add `long_prompts: chunks`"
        if chunks > 1 and not self._info.any_prompt_length:
            return (
                f"the prompt takes {chunks} chunks, and the UNet of bundle {self._info.name} was exported for one alone; "
                "export the checkpoint again, or leave long_prompts out"
            )
        if reading.weighting == "compel" and not self._encoder.hides and self.lowered(prompt, reading):
            return (
                f"the prompt weighs a part less than 1, and the text encoder of bundle {self._info.name} was exported "
                "without what compel's dialect needs for that; export the checkpoint again, or use weights above 1 alone"
            )
        return None

    def _sections(self, prompt: str, reading: Reading) -> list[list[list[Token]]]:
        """The tokens of each section, in pieces that chunks must not divide."""
        number = itertools.count()
        return [
            [
                [Token(index, part.weight, place, concept) for index in piece]
                for part in section
                for place in (next(number),)
                for concept, piece in self._pieces(part.text, reading)
            ]
            for section in parse_prompt(hide_literals(prompt), reading.weighting)
        ]

    def _divided(self, section: list[list[Token]]) -> list[list[Token]]:
        """A section's tokens by chunk. A concept that fits into one chunk is not divided, as in A1111; without concepts,
        each chunk but the last is full."""
        chunks: list[list[Token]] = [[]]
        for piece in section:
            if len(piece) <= self.limit < len(chunks[-1]) + len(piece):
                chunks.append([])
            for token in piece:
                if len(chunks[-1]) == self.limit:
                    chunks.append([])
                chunks[-1].append(token)
        return chunks

    def _chunk(self, tokens: list[Token]) -> Chunk:
        tokenizer, limit = self._tokenizer, self.limit
        kept = tokens[:limit]
        # Where a part is cut, compel counts the end token as part of it, unless the part is all there is.
        cut = len(tokens) > limit and kept[0].part != kept[-1].part == tokens[limit].part
        end = kept[-1].part if cut else -1
        padding = self._length - len(kept) - 2
        ids = [tokenizer.bos_token_id, *(token.id for token in kept), tokenizer.eos_token_id]
        ids += [tokenizer.pad_token_id] * padding
        weights = [1.0, *(token.weight for token in kept), 1.0, *[1.0] * padding]
        parts = [-1, *(token.part for token in kept), end, *[-1] * padding]
        return Chunk(np.asarray(ids, np.int64), np.asarray(weights, np.float32), np.asarray(parts, np.int64))

    def _pieces(self, text: str, reading: Reading) -> list[_Piece]:
        """The tokens of `text`, each in a piece of its own, those of a concept in one."""
        pieces: list[_Piece] = []
        position = 0
        for start, end, concept in self._names.spelled(text, any_case=reading.weighting == "a1111"):
            pieces += self._words(text[position:start], reading)
            pieces.append((concept, self._concepts[concept]))
            position = end
        return pieces + self._words(text[position:], reading)

    def _words(self, text: str, reading: Reading) -> list[_Piece]:
        """The tokens of `text`, in which no concept is written out; in A1111's dialect its tokens may still be there."""
        if not text.strip():
            return []
        if has_literals(text):
            shown = show_literals(text, self._tokenizer.adds)
            return [("", [index]) for index in self._tokenizer.encode(shown, reading.cleaning)]
        ids = self._tokenizer.encode(text, reading.cleaning)
        if reading.weighting != "a1111" or not self._concepts:
            return [("", [index]) for index in ids]
        pieces: list[_Piece] = []
        place = 0
        while place < len(ids):
            concept, count = self._names.at(ids, place)
            pieces.append((concept, self._concepts[concept] if concept else [ids[place]]))
            place += count
        return pieces

    def _concept_of(self, word: str, reading: Reading) -> bool:
        return word in self._concepts or (reading.weighting == "a1111" and bool(_used(self._pieces(word, reading))))

    def _found(self, text: str) -> list[str]:
        return [concept for _, _, concept in self._names.spelled(text, any_case=False)]


def _used(pieces: list[_Piece]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([concept for concept, _ in pieces if concept]))


def _ids(pieces: list[_Piece]) -> list[int]:
    return [index for _, ids in pieces for index in ids]


@dataclass(frozen=True, eq=False)
class Encoded:
    """One text encoder's answer to one prompt: hidden_states (tokens, D), pooled (P,) or None; both float32.

    tokens: max_tokens, times the chunks of a long prompt.
    """

    hidden_states: NDArray[np.float32]
    pooled: NDArray[np.float32] | None

    @property
    def nbytes(self) -> int:
        """The bytes it takes in memory."""
        return self.hidden_states.nbytes + (0 if self.pooled is None else self.pooled.nbytes)


class TextEncoder:
    """Prompts -> `Encoded`, cached per distinct prompt, reading and clip skip: the last ones, up to KEPT_BYTES.

    Each prompt is encoded alone: a batch of one is the one case whose bits no engine can tie to its batch mates.
    """

    def __init__(self, tokenizer: PromptTokenizer, session: Session) -> None:
        self._tokenizer = tokenizer
        self._session = session
        self._cache: Recent[tuple[str, int, Reading], Encoded] = Recent(KEPT_BYTES, lambda encoded: encoded.nbytes)

    def __call__(self, prompt: str, clip_skip: int = 0, reading: Reading = PLAIN) -> Encoded:
        """clip_skip: the encoder's last layers to leave out, 0 .. layers - 1 of the bundle's encoder."""
        return self._cache.get((prompt, clip_skip, reading), lambda: self._encoded(prompt, clip_skip, reading))

    def _encoded(self, prompt: str, clip_skip: int, reading: Reading) -> Encoded:
        chunks = self._tokenizer.chunks(prompt, reading)
        # A long prompt's pooled output is its first chunk's, as in A1111 (modules/sd_hijack_clip.py).
        first = self._run(chunks[0].ids, clip_skip)
        states = [first.hidden_states, *(self._run(chunk.ids, clip_skip).hidden_states for chunk in chunks[1:])]
        pooled = first.pooled
        if reading.weighting == "a1111":
            states = [a1111_states(*pair) for pair in zip(states, (chunk.weights for chunk in chunks), strict=True)]
        elif reading.weighting == "compel":
            states = self._compel(prompt, clip_skip, reading, chunks, states)
            if pooled is not None:
                # compel's pooled output is that of the characters as they stand, its own marks among them, and cut.
                pooled = self(prompt, clip_skip, Reading(cleaning=reading.cleaning)).pooled
        return Encoded(states[0] if len(states) == 1 else np.concatenate(states), pooled)

    def _compel(
        self, prompt: str, clip_skip: int, reading: Reading, chunks: list[Chunk], states: list[States]
    ) -> list[States]:
        lowered = self._tokenizer.lowered(prompt, reading)
        if all((chunk.weights == 1).all() for chunk in chunks) and not lowered:
            return states
        empty = self("", clip_skip).hidden_states

        def encoder(chunk: Chunk, plain: States) -> Callable[[NDArray[np.bool_]], States]:
            def encode(hidden: NDArray[np.bool_]) -> States:
                # -1 - id is the token, hidden from the others (bundle/info.py).
                ids = np.where(hidden, -1 - chunk.ids, chunk.ids)
                return self._run(ids, clip_skip).hidden_states if hidden.any() else plain

            return encode

        return [
            compel_states(encoder(chunk, plain), empty, chunk.weights, chunk.parts, lowered)
            for chunk, plain in zip(chunks, states, strict=True)
        ]

    def _run(self, ids: NDArray[np.int64], clip_skip: int) -> Encoded:
        outputs = self._session.run({"input_ids": ids[np.newaxis]})
        # A copy, not a view: the other layers' states need not stay in memory.
        hidden_states = outputs["hidden_states"][0, clip_skip].astype(np.float32)
        pooled = outputs["pooled"][0].astype(np.float32) if "pooled" in outputs else None
        return Encoded(hidden_states, pooled)
