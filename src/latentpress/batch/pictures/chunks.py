"""Reads back what a PNG of ours says of itself, and whether its bytes are whole. Believes nothing that it cannot check."""

import io
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from latentpress.batch.pictures.png import pixel_sha256
from latentpress.files import check_regular

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEYWORD = "latentpress"
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
    """The claim of the PNG with this content; None where it makes none that can be read."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return _claim(picture.info.get(KEYWORD))
    except Exception:  # Pillow raises anything for broken headers
        return None


def read_claim(path: Path) -> Claim | None:
    """As `claim_of` of the file at `path`, of which only the beginning is read."""
    try:
        check_regular(path)
        with Image.open(path) as picture:
            return _claim(picture.info.get(KEYWORD)) if picture.format == "PNG" else None
    except Exception:
        return None


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
    """The pixel_sha256 of a picture whose pixels are those of its `claim`; None where they are not, or cannot be read.

    A picture of an earlier latentpress names no pixels. It is taken for whole if it has the chunks that were written
    then and no others: what other programs save has some of their own.
    """
    if not whole_png(content):
        return None
    try:
        with Image.open(io.BytesIO(content)) as picture:
            found = pixel_sha256(np.asarray(picture)) if picture.mode == "RGB" else None
    except Exception:
        return None
    if claim.identity == 1:
        return found if _as_written_earlier(content) else None
    return found if found == claim.data.get("pixel_sha256") else None


def whole_png(content: bytes) -> bool:
    """Whether `content` is a PNG from its signature to its end, each chunk with its own CRC-32, and nothing after it."""
    return bool(_chunks(content))


def torn(content: bytes, size: int | None) -> bool:
    """Whether `content` is what a PNG of `size` bytes became by damage: cut short, or no PNG any more at that size."""
    if whole_png(content):
        return False
    shortened = size is not None and len(content) < size and SIGNATURE.startswith(content[: len(SIGNATURE)])
    return shortened or len(content) == size


def _chunks(content: bytes) -> list[str]:
    """Each chunk's type, of text chunks the keyword; none where a chunk is damaged, or the end missing."""
    if not content.startswith(SIGNATURE):
        return []
    names: list[str] = []
    at = len(SIGNATURE)
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4])
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        crc = content[at + 8 + length : at + 12 + length]
        if len(crc) < 4 or zlib.crc32(kind + data) != int.from_bytes(crc):
            return []
        at += 12 + length
        text = kind in (b"tEXt", b"iTXt", b"zTXt")
        names.append((data.partition(b"\0")[0] if text else kind).decode("latin-1"))
        if kind == b"IEND":
            return names if at == len(content) else []
    return []


def _as_written_earlier(content: bytes) -> bool:
    names = tuple(name for name in _chunks(content) if name not in ("IDAT", "IEND"))
    return names in _EARLIER
