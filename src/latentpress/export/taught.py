"""The concepts a checkpoint was saved with: tokens added to its tokenizers, and rows at the end of its text encoders.

`load_textual_inversion` and training scripts leave a pipeline so. diffusers expands a token of several vectors in the
prompt, `x` to `x x_1 x_2`; a bundle that names it as a concept does the same with it.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from latentpress.bundle.info import Concept
from latentpress.export.reading.components import Components, TextPart
from latentpress.export.reading.concept_file import Vectors

SOURCE = "the checkpoint"


def taught_concepts(parts: Components) -> tuple[list[Concept], dict[str, Vectors]]:
    """The concepts that all text encoders of `parts` know, and ENCODER.TOKEN -> their vectors (n, D) in float32.

    A concept's sha256 is that of its vectors: little-endian float32, of one text encoder after the other.
    """
    first, *others = [_added(part) for part in parts.texts]
    ids = {token: index for token, index in first.items() if all(other.get(token) == index for other in others)}
    concepts: list[Concept] = []
    vectors: dict[str, Vectors] = {}
    for token, tokens in _expanded(ids).items():
        rows = [ids[name] for name in tokens]
        own = {part.component: _rows(part, rows) for part in parts.texts}
        digest = hashlib.sha256(b"".join(table.astype("<f4").tobytes() for table in own.values()))
        concepts.append(Concept(token=token, token_ids=rows, sha256=digest.hexdigest(), source=SOURCE))
        vectors |= {f"{component}.{token}": table for component, table in own.items()}
    return concepts, vectors


def _added(part: TextPart) -> dict[str, int]:
    """token -> id of what was added to the tokenizer's own vocabulary and has a row in the text encoder."""
    tokenizer: Any = part.tokenizer
    marks = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token}
    rows = len(part.model.get_input_embeddings().weight)
    added: Mapping[int, Any] = tokenizer.added_tokens_decoder
    return {
        str(token): index
        for index, token in sorted(added.items())
        if tokenizer.vocab_size <= index < rows and str(token) not in marks
    }


def _expanded(ids: Mapping[str, int]) -> dict[str, list[str]]:
    """token -> the tokens that stand for it, as diffusers' `maybe_convert_prompt` counts them: x, x_1, x_2 ..."""
    found: dict[str, list[str]] = {}
    for token in ids:
        names = [token]
        while (name := f"{token}_{len(names)}") in ids:
            names.append(name)
        found[token] = names
    parts = {name for names in found.values() for name in names[1:]}
    return {token: names for token, names in found.items() if token not in parts}


def _rows(part: TextPart, rows: list[int]) -> Vectors:
    weight: Any = part.model.get_input_embeddings().weight
    return np.ascontiguousarray(weight.detach()[rows].float().cpu().numpy())
