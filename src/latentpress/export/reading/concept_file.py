"""Reads textual-inversion files into tokens and their vectors, trusting nothing in them. Does not need torch.

A concept for SDXL holds vectors for each of its two text encoders, `clip_l` and `clip_g`, or is two files, one for each;
others hold one tensor. `concept_content` knows the formats of files, `concept_forms` what their keys mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentpress.bundle.info import TextEncoderInfo
from latentpress.errors import ConceptError, short
from latentpress.export.reading.concept_content import HOW, read_content
from latentpress.export.reading.concept_forms import ENCODERS, T5, T5_WIDTH, Found, as_wide_as, choose, concepts_in
from latentpress.export.reading.concept_paths import (
    LIBRARY_STEM,
    AskedConcept,
    concept_sha256,
    other_half,
    single_tokens,
)
from latentpress.files import check_regular

Vectors = NDArray[np.float32]

MAX_VECTORS = 75
MAX_TOKEN_LENGTH = 100
# The sd-concepts-library keeps a concept in a folder, as learned_embeds.bin with its token in a text file beside it.
_IDENTIFIER = "token_identifier.txt"


@dataclass(frozen=True)
class ConceptFile:
    """A concept as read: its `token`, its `vectors`, the sha256 of its file or files (`concept_sha256`) and their names.

    vectors: text encoder -> (n, D) float32; n is the same for all. A lone tensor's text encoder is "" until it is fitted.
    place: what an error calls it; asked: whether the token was asked for by name; notes: of how it was read.
    """

    place: str
    source: str
    token: str
    vectors: Mapping[str, Vectors]
    sha256: str
    asked: bool = False
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Vectors, and so tokens, the concept takes."""
        return len(next(iter(self.vectors.values())))

    @property
    def tokens(self) -> list[str]:
        """The tokenizer's name for each vector: token, token_1, token_2 ... as diffusers names them."""
        return [self.token, *(f"{self.token}_{index}" for index in range(1, self.count))]


def read_concepts(asked: AskedConcept) -> list[ConceptFile]:
    """The concepts that the file, or the two files, of `asked` teach; raises ConceptError naming the file.

    Mostly one. A LoRA may hold several, and `<s0><s1>` asks for one token for each vector of a file.
    What a concept is called: what was asked for, always. Else the name in the file, if it is diffusers' ({token: tensor}), a
    LoRA or a picture. Else (A1111's .pt, kohya's, SDXL's, a bare tensor), as A1111 does it, the file's own name, or for a
    learned_embeds.bin the token_identifier.txt beside it.
    """
    try:
        found = [_found(path, asked) for path in asked.files]
        digest = concept_sha256(asked.files)
    except OSError as error:
        raise ConceptError(f"{asked.place}: cannot be read ({error.strerror}); check the path") from None
    read = found[0] if len(found) == 1 else [_two_halves(asked, found)]
    return [concept for each in read for concept in _named(asked, each, digest)]


def fitted(concept: ConceptFile, encoders: Sequence[TextEncoderInfo]) -> ConceptFile:
    """`concept` for the text encoders of a bundle; raises ConceptError if it was trained for others."""
    place, token, vectors = concept.place, short(concept.token), concept.vectors
    if list(vectors) == [""] and len(encoders) == 1:
        vectors = {encoders[0].component: vectors[""]}
    missing = [encoder for encoder in encoders if encoder.component not in vectors]
    if missing and "" in vectors:
        raise ConceptError(
            f"{place}: {token} holds vectors for one text encoder, this bundle has two; {_advice(place)}"
        )
    if "text_encoder_2" in vectors and "text_encoder_2" not in {encoder.component for encoder in encoders}:
        raise ConceptError(
            f"{place}: clip_l and clip_g are a concept for SDXL's two text encoders, this bundle has one of another kind; "
            "use a concept trained for this family of models"
        )
    if missing:
        keys = ", ".join(key for key in ("clip_l", "clip_g") if ENCODERS[key] in vectors)
        raise ConceptError(f"{place}: holds {keys} alone; a concept for SDXL holds clip_l and clip_g")
    for encoder in encoders:
        if (width := vectors[encoder.component].shape[1]) != encoder.hidden_size:
            which = "second text encoder" if encoder.component == "text_encoder_2" else "text encoder"
            raise ConceptError(
                f"{place}: {token} is {width} wide{as_wide_as(width)}, the {which} {encoder.hidden_size}; "
                "use a concept trained for this family of models"
            )
    return replace(concept, vectors={encoder.component: vectors[encoder.component] for encoder in encoders})


def _advice(place: str) -> str:
    other = other_half(Path(place))
    if other is None:
        return "use a concept trained for SDXL, which holds clip_l and clip_g or is two files"
    return f"give {other.name} beside it too, which holds the other's, or their folder"


def _found(path: Path, asked: AskedConcept) -> list[Found]:
    content, picture = read_content(path)
    return choose(path, concepts_in(path, content, picture), asked.token if len(asked.files) == 1 else None)


def _two_halves(asked: AskedConcept, found: Sequence[Sequence[Found]]) -> Found:
    """One concept of the two files of `asked`: SDXL's first text encoder is the narrower one."""
    tensors: list[Any] = []
    for path, each in zip(asked.files, found, strict=True):
        if len(each) != 1 or list(each[0].tensors) != [""] or not isinstance(each[0].tensors[""], np.ndarray):
            raise ConceptError(
                f"{path}: not one of two files of a concept, which hold one tensor each, for SDXL's two text encoders; "
                "give it as a concept of its own"
            )
        tensors.append(each[0].tensors[""])
    first, second = sorted(tensors, key=lambda tensor: tensor.shape[-1:])
    names = list(dict.fromkeys(each[0].token for each in found if each[0].token is not None))
    if asked.token is None and len(names) > 1:
        raise ConceptError(
            f"{asked.place}: teach {_printable(names[0])} and {_printable(names[1])}; ask for a token: TOKEN=FOLDER"
        )
    return Found({"text_encoder": first, "text_encoder_2": second}, names[0] if names else None)


def _named(asked: AskedConcept, found: Found, digest: str) -> list[ConceptFile]:
    """The concept of `found` under its name; one for each vector where the name is several tokens."""
    token = asked.token if asked.token is not None else found.token
    if token is None:
        token = _default_token(asked.files[0])
    name = _checked(asked.place, token)
    vectors = {encoder: _vectors(asked.place, name, tensor) for encoder, tensor in found.tensors.items()}
    if len({len(rows) for rows in vectors.values()}) > 1:
        counts = " and ".join(str(len(rows)) for rows in vectors.values())
        raise ConceptError(
            f"{asked.place}: {short(name)} has {counts} vectors for the two text encoders; they must be equally many"
        )
    whole = ConceptFile(asked.place, asked.source, name, vectors, digest, asked.token is not None, found.notes)
    singles = single_tokens(name)
    if len(singles) == 1:
        return [whole]
    if len(singles) != whole.count:
        raise ConceptError(
            f"{asked.place}: {short(name)} is {len(singles)} tokens, the file has {whole.count} vectors; "
            "name one token for all of them, or one for each"
        )
    return [
        replace(whole, token=single, vectors={encoder: rows[index : index + 1] for encoder, rows in vectors.items()})
        for index, single in enumerate(singles)
    ]


def _default_token(path: Path) -> str:
    """What a file is called that names no token and was given none."""
    if not path.stem.startswith(LIBRARY_STEM):
        return path.stem
    beside = path.with_name(_IDENTIFIER)
    try:
        check_regular(beside)
        with beside.open("rb") as stream:
            return stream.read(4 * MAX_TOKEN_LENGTH + 4).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConceptError(
            f"{path}: names no token, and no {_IDENTIFIER} beside it does; ask for one: TOKEN={path.name}"
        ) from None


def _printable(token: Any) -> str:
    return repr(token)[:40] if not isinstance(token, str) or not token.isprintable() else token[:40]


def _checked(place: str, token: Any) -> str:
    """`token` without spaces around it, if prompts can name it."""
    name = token.strip() if isinstance(token, str) else ""
    if not 0 < len(name) <= MAX_TOKEN_LENGTH:
        raise ConceptError(f"{place}: token {str(token)[:40]!r} is not a text of 1 to {MAX_TOKEN_LENGTH} characters")
    if not name.isprintable():
        raise ConceptError(f"{place}: token {name!r} holds a control character; ask for another: TOKEN=FILE")
    return name


def _vectors(place: str, token: str, tensor: Any) -> Vectors:
    if not isinstance(tensor, np.ndarray) or tensor.dtype != np.float32:
        kind = tensor.dtype if isinstance(tensor, np.ndarray) else type(tensor).__name__
        raise ConceptError(f"{place}: {short(token)} is a {kind}, not a tensor of floats; {HOW}")
    if tensor.ndim and tensor.shape[-1] == T5_WIDTH:
        raise ConceptError(f"{place}: {T5}")
    vectors: Any = tensor[None] if tensor.ndim == 1 else tensor
    if vectors.ndim != 2 or not 1 <= vectors.shape[0] <= MAX_VECTORS or vectors.shape[1] < 1:
        shape = "x".join(map(str, tensor.shape)) or "a single number"
        raise ConceptError(
            f"{place}: {short(token)} has shape {shape}; it must be D or nxD, with n from 1 to {MAX_VECTORS}"
        )
    result: Vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if not np.isfinite(result).all():
        raise ConceptError(f"{place}: {short(token)} holds NaN or infinity; train or download it again")
    return result
