"""The tensors in a file that may be a concept, trusting nothing in it: its format is told by content, not by suffix.

A safetensors file (of which only what could be a concept is read), a torch file (a zip with a pickle, see torch_pickle), or
a picture in which A1111 keeps an embedding (PNG with a text chunk). Does not need torch.
"""

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from latentpress.errors import ConceptError
from latentpress.export.reading.file_kinds import CONCEPT, known_kind
from latentpress.export.reading.torch_pickle import PickleRefused, floats, read_torch_zip
from latentpress.export.reading.whole_file import parsed_header, refuse_pointer
from latentpress.files import check_regular

# Published concept files are 4 to 20 KB; 75 vectors (a whole prompt) of SDXL's 2048 floats are 0.6 MB.
MAX_BYTES = 16 << 20
MAX_KEYS = 64
HOW = "a concept file holds {token: tensor} with one token"
# A LoRA with concepts in it, as A1111 and OneTrainer write them: bundle_emb.NAME.KEY.
BUNDLED = "bundle_emb."
_PNG = b"\x89PNG\r\n\x1a\n"
# modules/textual_inversion/textual_inversion.py of A1111
_PNG_KEY = "sd-ti-embedding"


def read_content(path: Path) -> tuple[Any, bool]:
    """What the file at `path` holds, its tensors as float32 arrays, and whether it is a picture; raises ConceptError."""
    try:
        size = check_regular(path).st_size
        with path.open("rb") as stream:
            head = stream.read(len(_PNG))
    except OSError as error:
        raise ConceptError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    refuse_pointer(path, ConceptError)
    if not zipfile.is_zipfile(path) and head != _PNG:
        return _safetensors(path, size), False
    if size > MAX_BYTES:
        raise ConceptError(_too_large(path, size))
    return (_png(path), True) if head == _PNG else (_torch(path), False)


def other_kind(keys: list[str]) -> str | None:
    """What a file with these keys is if it is another kind of file people have, and how that is used."""
    if len(keys) == 1 and not keys[0].startswith("lora_unet_"):  # a concept may have any name
        return None
    kind = known_kind(keys)
    return None if kind is None or kind is CONCEPT else kind.not_a("a concept")


def _too_large(path: Path, size: int) -> str:
    return f"{path}: {size:,} bytes; a concept file has at most {MAX_BYTES:,}: is this a whole model?"


def _torch(path: Path) -> Any:
    try:
        return read_torch_zip(path, MAX_BYTES)
    except PickleRefused as error:
        raise ConceptError(f"{path}: {error}; {HOW}, and nothing else in it is loaded") from None


def _png(path: Path) -> Any:
    """The embedding in A1111's text chunk: base64 of JSON in which a tensor is {"TORCHTENSOR": [[...]]}."""
    try:
        with Image.open(io.BytesIO(path.read_bytes()), formats=["PNG"]) as image:
            text: Any = image.info.get(_PNG_KEY)  # of the chunks before the pixels, which are not read
    except Exception as error:  # Pillow raises many kinds for a damaged file
        raise ConceptError(f"{path}: not a PNG that can be read ({type(error).__name__}); download it again") from None
    if not isinstance(text, str):
        raise ConceptError(
            f"{path}: a picture without an embedding in its text chunk {_PNG_KEY}; give the concept's .pt or "
            ".safetensors file, because a picture that was saved again has lost it"
        )
    try:
        return json.loads(base64.b64decode(text), object_hook=_tensor)
    except (ValueError, RecursionError):
        raise ConceptError(f"{path}: its embedding cannot be read; download it again") from None


def _tensor(found: dict[str, Any]) -> Any:
    return np.asarray(found["TORCHTENSOR"], np.float32) if found.keys() == {"TORCHTENSOR"} else found


def _safetensors(path: Path, size: int) -> dict[Any, Any]:
    """{name: array}, read by hand: the library's numpy reader has no bfloat16. Of a LoRA only the concepts in it."""
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if size < 8 or not 0 < length <= min(size - 8, MAX_BYTES):
                raise ValueError(length)
            header: Any = parsed_header(stream.read(length))
            names = [name for name in header if name != "__metadata__"]
            bundled = [name for name in names if name.startswith(BUNDLED)]
            if not bundled and (what := other_kind(names)):
                raise ConceptError(f"{path}: {what}")
            if len(bundled or names) > MAX_KEYS:
                raise ConceptError(f"{path}: {len(names)} keys; {HOW}: is this a whole model?")
            if sum(_length(header[name]) for name in bundled or names) > MAX_BYTES:
                raise ConceptError(_too_large(path, size))
            return {name: _array(stream, 8 + length, size, header[name]) for name in bundled or names}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        if size > MAX_BYTES:
            raise ConceptError(_too_large(path, size)) from None
        raise ConceptError(
            f"{path}: neither a torch file nor safetensors, or cut short; download it again, "
            "or save an old torch file again with a current torch"
        ) from None


def _length(entry: Any) -> int:
    start, end = entry["data_offsets"]
    return int(end) - int(start)


def _array(stream: Any, begin: int, size: int, entry: Any) -> Any:
    start, end = entry["data_offsets"]
    if not 0 <= start <= end <= size - begin:
        raise ValueError(entry)
    stream.seek(begin + start)
    return floats(stream.read(end - start), str(entry["dtype"])).reshape([int(side) for side in entry["shape"]])
