"""Reads back what a picture of ours says of itself, and whether it is that. Believes nothing that it cannot check."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentpress.batch.pictures.containers import (
    JPEG,
    PNG,
    SIGNATURE,
    format_of,
    image_data_sha256,
    lossy,
    png_chunks,
    whole,
)
from latentpress.batch.pictures.encode import CLAIM as KEYWORD
from latentpress.batch.pictures.encode import COMMENT, EXIF, FORMATS, PARAMETERS, UNICODE, USER_COMMENT
from latentpress.batch.pictures.png import pixel_sha256
from latentpress.batch.pictures.xmp import claim_in
from latentpress.files import check_regular

# What an earlier latentpress wrote, which named no pixels: exactly these chunks, in this order, and IDATs before the end.
_EARLIER = {("IHDR", "parameters", KEYWORD), ("IHDR", KEYWORD, "parameters")}
# Pillow's own limit on a text is 1 MiB as well.
_TEXT = 1 << 20


@dataclass(frozen=True)
class Claim:
    """What a picture's `latentpress` text says of it; nothing of it is proved yet.

    data: the whole text, a JSON object; job_hash: of the job that it claims to be; identity: how that hash was made
    (identity.VERSION), 1 where it does not say.
    """

    data: dict[str, Any]
    job_hash: str
    identity: int


def claim_of(content: bytes) -> Claim | None:
    """The claim of the picture with this content; None where it makes none that can be read."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return _claim(_text_of(picture))
    except Exception:  # Pillow raises anything for broken headers
        return None


def read_claim(path: Path) -> Claim | None:
    """As `claim_of` of the file at `path`, of which only the beginning is read."""
    try:
        check_regular(path)
        with Image.open(path) as picture:
            return _claim(_text_of(picture))
    except Exception:
        return None


def _text_of(picture: Any) -> object:
    """Our own text in an opened picture, whatever its format."""
    if (
        picture.format in FORMATS.values()
        and picture.format != PNG
        and (text := claim_in(picture.info.get("xmp", b"")))
    ):
        return text
    if picture.format == JPEG:
        parts = [data for name, data in picture.applist if name == "COM" and data.startswith(COMMENT)]
        return b"".join(part.removeprefix(COMMENT) for part in parts).decode()
    return picture.info.get(KEYWORD) if picture.format == PNG else None


def parameters_in(content: bytes) -> str | None:
    """The A1111 text of the picture with this content, ours or not; None where it has none."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            text = picture.info.get(PARAMETERS)
            comment = picture.getexif().get_ifd(EXIF).get(USER_COMMENT, b"")
    except Exception:
        return None
    if isinstance(text, str):
        return text
    unicode = isinstance(comment, bytes) and comment.startswith(UNICODE)
    return comment[len(UNICODE) :].decode("utf-16-be", "replace") if unicode else None


def _claim(text: object) -> Claim | None:
    if not isinstance(text, str) or len(text) > _TEXT:
        return None
    try:
        data: Any = json.loads(text)
    except ValueError:
        return None
    kinds = {"job_hash": str, "request": dict, "bundle": dict}
    if not isinstance(data, dict) or not all(isinstance(data.get(key), kind) for key, kind in kinds.items()):  # pyright: ignore[reportUnknownMemberType]
        return None
    claim: dict[str, Any] = data
    return Claim(claim, claim["job_hash"], claim.get("identity", 1))


def proved(content: bytes, claim: Claim) -> str | None:
    """The pixel_sha256 of a picture that is what its `claim` says; None where it is not, or cannot be read.

    That is proved by its pixels. Where the format loses some, the pixels before are only named, and the compressed picture
    is compared with the sum that is named of it. A picture of an earlier latentpress names no pixels. It is taken for whole
    if it has the chunks that were written then and no others: what other programs save has some of their own.
    """
    if not whole(content):
        return None
    try:
        with Image.open(io.BytesIO(content)) as picture:
            found = pixel_sha256(np.asarray(picture)) if picture.mode == "RGB" else None
    except Exception:
        return None
    if claim.identity == 1:
        return found if _as_written_earlier(content) else None
    named = claim.data.get("pixel_sha256")
    if found is None or not isinstance(named, str) or not _data_is_as_claimed(content):
        return None
    return named if lossy(content) or found == named else None


def kept_pixels(content: bytes) -> NDArray[np.uint8] | None:
    """(H, W, 3): the very pixels that were encoded; None where the format loses some, or nothing can be decoded."""
    if not whole(content) or lossy(content):
        return None
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return np.asarray(picture) if picture.mode == "RGB" else None
    except Exception:
        return None


def torn(content: bytes, size: int | None) -> bool:
    """Whether `content` is what a picture of `size` bytes became by damage: cut short, or none any more at that size."""
    if size is not None and len(content) < size and not whole(content):
        return any(
            start.startswith(content[: len(start)]) for start in (SIGNATURE, b"\xff\xd8\xff", b"RIFF", b"\0\0\0")
        )
    return len(content) == size and not (whole(content) and _data_is_as_claimed(content))


def _data_is_as_claimed(content: bytes) -> bool:
    """Whether the compressed picture is the one that the claim names; a PNG's chunks have checksums, and name none."""
    if format_of(content) == PNG or (claim := claim_of(content)) is None:
        return True
    return claim.data.get("image_data_sha256") == image_data_sha256(content)


def _as_written_earlier(content: bytes) -> bool:
    names = tuple(name for name in png_chunks(content) if name not in ("IDAT", "IEND"))
    return names in _EARLIER
