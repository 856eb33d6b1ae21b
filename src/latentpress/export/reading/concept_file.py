"""Reads one textual-inversion file into a token and its vectors, trusting nothing in it. Does not need torch.

A concept for SDXL holds vectors for each of its two text encoders, `clip_l` and `clip_g`; others hold one tensor.

The format is told by content, not suffix: a safetensors file, or a torch file (a zip with a pickle, see torch_pickle).
"""

import hashlib
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentpress.bundle.info import TextEncoderInfo
from latentpress.errors import ConceptError
from latentpress.export.reading.torch_pickle import PickleRefused, floats, read_torch_zip

Vectors = NDArray[np.float32]

# Published concept files are 4 to 20 KB; 75 vectors (a whole prompt) of SDXL's 2048 floats are 0.6 MB.
MAX_BYTES = 16 << 20
MAX_KEYS = 64
MAX_VECTORS = 75
MAX_TOKEN_LENGTH = 100
_HOW = "a concept file holds {token: tensor} with one token"
# What SDXL's concept files call the two encoders (A1111 and kohya; diffusers' pivotal tuning) -> what bundles call them.
_ENCODERS = {
    "clip_l": "text_encoder",
    "clip_g": "text_encoder_2",
    "text_encoders_0": "text_encoder",
    "text_encoders_1": "text_encoder_2",
}
# Keys that stand where a token could: kohya's, and what textual inversion's first code called every concept.
_NO_TOKENS = ("emb_params", "*")
# The sd-concepts-library keeps a concept in a folder, as learned_embeds.bin with its token in a text file beside it.
_LIBRARY_STEM = "learned_embeds"
_IDENTIFIER = "token_identifier.txt"


@dataclass(frozen=True)
class ConceptFile:
    """What a concept file holds: `token`, its `vectors`, the file's sha256 and where it lay.

    vectors: text encoder -> (n, D) float32, for each encoder of the bundle; n is the same for all.
    """

    path: Path
    token: str
    vectors: Mapping[str, Vectors]
    sha256: str

    @property
    def count(self) -> int:
        """Vectors, and so tokens, the concept takes."""
        return len(next(iter(self.vectors.values())))

    @property
    def tokens(self) -> list[str]:
        """The tokenizer's name for each vector: token, token_1, token_2 ... as diffusers names them."""
        return [self.token, *(f"{self.token}_{index}" for index in range(1, self.count))]


@dataclass(frozen=True)
class _Found:
    """The tensors of a file by text encoder ("" for a lone tensor), and what it says the token is.

    own: the token prompts must use; label: a name within the file that people may have renamed it from.
    """

    tensors: dict[str, Any]
    own: Any = None
    label: Any = None


def read_concept(
    path: Path, *, encoders: Sequence[TextEncoderInfo] | None = None, token: str | None = None
) -> ConceptFile:
    """Read the concept file at `path`; raises ConceptError naming it.

    encoders: the text encoders of the bundle it is for; without them the vectors are given as found, a lone tensor's
    under "". token: what prompts call it. A file that names a token must name this one. One that names none (a bare
    tensor, kohya's, SDXL's) is called so, or, without `token`, by token_identifier.txt beside it if it is a
    learned_embeds.bin, or by its own name. A1111's files hold a name that is only a default.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ConceptError(f"{path}: {size} bytes; a concept file has at most {MAX_BYTES}: is this a whole model?")
        raw = path.read_bytes()
    except OSError as error:
        raise ConceptError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    content = _torch_content(path) if zipfile.is_zipfile(path) else _safetensors_content(path, raw)
    found = _pick(path, content)
    if found.own is not None and token not in (None, found.own):
        raise ConceptError(f"{path}: teaches {_shown(found.own)}, not {token}; use the file's own token in prompts")
    name = found.own if found.own is not None else token or _default_token(path, found.label)
    _check_token(path, name)
    vectors = {encoder: _vectors(path, name, tensor) for encoder, tensor in found.tensors.items()}
    if encoders is not None:
        vectors = _fitted(path, name, vectors, encoders)
    return ConceptFile(path, name, vectors, hashlib.sha256(raw).hexdigest())


def _default_token(path: Path, label: Any) -> Any:
    """What a file is called that names no token and was given none."""
    if isinstance(label, str) and label.strip():
        return label
    if not path.stem.startswith(_LIBRARY_STEM):
        return path.stem
    beside = path.with_name(_IDENTIFIER)
    try:
        with beside.open("rb") as stream:
            return stream.read(4 * MAX_TOKEN_LENGTH + 4).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConceptError(
            f"{path}: names no token, and no {_IDENTIFIER} beside it does; name the file after its token"
        ) from None


def _fitted(
    path: Path, token: str, vectors: Mapping[str, Vectors], encoders: Sequence[TextEncoderInfo]
) -> dict[str, Vectors]:
    """Text encoder -> its vectors, checked to be as wide as it and equally many."""
    if list(vectors) == [""] and len(encoders) == 1:
        vectors = {encoders[0].component: vectors[""]}
    missing = [encoder for encoder in encoders if encoder.component not in vectors]
    if missing and "" in vectors:
        raise ConceptError(
            f"{path}: {token} holds vectors for one text encoder, this bundle has two; "
            "use a concept trained for SDXL, which holds clip_l and clip_g"
        )
    if "text_encoder_2" in vectors and "text_encoder_2" not in {encoder.component for encoder in encoders}:
        raise ConceptError(
            f"{path}: clip_l and clip_g are a concept for SDXL's two text encoders, this bundle has one of another kind; "
            "use a concept trained for this family of models"
        )
    if missing:
        keys = ", ".join(key for key in ("clip_l", "clip_g") if _ENCODERS[key] in vectors)
        raise ConceptError(f"{path}: holds {keys} alone; a concept for SDXL holds clip_l and clip_g")
    found = {encoder.component: vectors[encoder.component] for encoder in encoders}
    for encoder in encoders:
        if (width := found[encoder.component].shape[1]) != encoder.hidden_size:
            which = "second text encoder" if encoder.component == "text_encoder_2" else "text encoder"
            raise ConceptError(
                f"{path}: {token} is {width} wide, the {which} {encoder.hidden_size}; "
                "use a concept trained for this family of models"
            )
    if len({len(tensor) for tensor in found.values()}) > 1:
        counts = " and ".join(str(len(tensor)) for tensor in found.values())
        raise ConceptError(f"{path}: {token} has {counts} vectors for the two text encoders; they must be equally many")
    return found


def _pick(path: Path, content: Any) -> _Found:
    """The forms found in the wild, told apart by their keys."""
    if isinstance(content, np.ndarray):
        return _Found({"": content})
    if not isinstance(content, dict):
        raise ConceptError(f"{path}: holds a {type(content).__name__}, not a tensor; {_HOW}")
    named: dict[Any, Any] = content
    if len(named) > MAX_KEYS:
        raise ConceptError(f"{path}: {len(named)} keys; {_HOW}: is this a whole model?")
    if "string_to_param" in named:  # A1111's .pt
        params = named["string_to_param"]
        if isinstance(params, dict) and len(params) == 1:  # pyright: ignore[reportUnknownArgumentType]
            return _Found({"": next(iter(params.values()))}, label=named.get("name"))  # pyright: ignore[reportUnknownVariableType]
        raise ConceptError(f"{path}: string_to_param without one tensor; {_HOW}")
    if named and named.keys() <= _ENCODERS.keys():
        tensors = {_ENCODERS[key]: tensor for key, tensor in named.items()}
        if len(tensors) == len(named):
            return _Found(tensors)
    if len(named) != 1:
        keys = ", ".join(sorted(str(key) for key in named)[:5])
        raise ConceptError(f"{path}: {len(named)} keys ({keys}); {_HOW}")
    key, tensor = next(iter(named.items()))
    return _Found({"": tensor}, own=None if key in _NO_TOKENS else key)


def _shown(token: Any) -> str:
    return repr(token)[:40] if not isinstance(token, str) or not token.isprintable() else token[:40]


def _check_token(path: Path, token: Any) -> None:
    if not isinstance(token, str) or not token.strip() or len(token) > MAX_TOKEN_LENGTH:
        raise ConceptError(f"{path}: token {str(token)[:40]!r} is not a text of 1 to {MAX_TOKEN_LENGTH} characters")
    if any(letter.isspace() or not letter.isprintable() for letter in token):
        raise ConceptError(f"{path}: token {token!r} holds a space or control character; prompts could not name it")


def _vectors(path: Path, token: str, tensor: Any) -> Vectors:
    if not isinstance(tensor, np.ndarray):
        raise ConceptError(f"{path}: {token} is a {type(tensor).__name__}, not a tensor of floats; {_HOW}")
    vectors: Any = tensor[None] if tensor.ndim == 1 else tensor  # pyright: ignore[reportUnknownVariableType]
    if vectors.ndim != 2 or not 1 <= vectors.shape[0] <= MAX_VECTORS or vectors.shape[1] < 1:
        shape = "x".join(map(str, tensor.shape)) or "a single number"
        raise ConceptError(f"{path}: {token} has shape {shape}; it must be D or nxD, with n from 1 to {MAX_VECTORS}")
    result: Vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if not np.isfinite(result).all():
        raise ConceptError(f"{path}: {token} holds NaN or infinity; train or download it again")
    return result


def _torch_content(path: Path) -> Any:
    try:
        return read_torch_zip(path, MAX_BYTES)
    except PickleRefused as error:
        raise ConceptError(f"{path}: {error}; {_HOW}, and nothing else in it is loaded") from None


def _safetensors_content(path: Path, raw: bytes) -> dict[Any, Any]:
    """{name: array}, read by hand: the library's numpy reader has no bfloat16."""
    try:
        (length,) = struct.unpack("<Q", raw[:8])
        if not 0 < length <= len(raw) - 8:
            raise ValueError(length)
        header: Any = json.loads(raw[8 : 8 + length])
        names = [name for name in header if name != "__metadata__"]
        if len(names) > MAX_KEYS:
            raise ConceptError(f"{path}: {len(names)} keys; {_HOW}: is this a whole model?")
        data = raw[8 + length :]
        return {name: _array(data, header[name]) for name in names}
    except (struct.error, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise ConceptError(
            f"{path}: neither a torch file nor safetensors, or cut short; download it again, "
            "or save an old torch file again with a current torch"
        ) from None


def _array(data: bytes, entry: Any) -> Any:
    start, end = entry["data_offsets"]
    if not 0 <= start <= end <= len(data):
        raise ValueError(entry)
    return floats(data[start:end], str(entry["dtype"])).reshape([int(side) for side in entry["shape"]])
