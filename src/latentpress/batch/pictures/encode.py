"""A picture as the bytes of a file, with the same texts in each format: which one, the ending of its name says. Pure.

PNG has them as chunks. JPEG, WebP and AVIF have `parameters` as the comment that EXIF has for users, as A1111 writes it, XMP
beside it, and our own text in the XMP. Where a JPEG's XMP has no room for that, it stands in comments, which programs that
know Fooocus' pictures take for theirs.
"""

import io
import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from latentpress.batch.pictures.containers import AVIF, JPEG, PNG, WEBP, image_data_sha256
from latentpress.batch.pictures.png import DPI, png_bytes
from latentpress.batch.pictures.xmp import KEYWORD as XMP
from latentpress.batch.pictures.xmp import with_claim
from latentpress.batch.plan.job import canonical_json
from latentpress.errors import EnvironmentFailure

FORMATS = {".png": PNG, ".webp": WEBP, ".jpg": JPEG, ".jpeg": JPEG, ".avif": AVIF}
CLAIM, PARAMETERS = "latentpress", "parameters"
# What a JPEG's comment that is a part of our text begins with.
COMMENT = b"latentpress "
# Where the manifest says nothing; of WebP without a quality every pixel is kept.
_QUALITY = {JPEG: 95, AVIF: 90}
# Pictures that share colours among neighbouring pixels lose those of thin lines. Threads and tiles of the machine's would
# change an AVIF's bytes.
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    JPEG: {"subsampling": 0, "optimize": True, "dpi": (DPI, DPI)},
    WEBP: {"method": 4},
    AVIF: {"subsampling": "4:4:4", "speed": 6, "max_threads": 1, "autotiling": False},
}
_DIGEST = "image_data_sha256"
# Bytes of a JPEG's segment, less its length and the words it begins with.
_SEGMENT = 65_000
# EXIF's tags, and their values: inches; sRGB.
_SOFTWARE, _X, _Y, _UNIT, EXIF, USER_COMMENT, _SPACE = 0x0131, 0x011A, 0x011B, 0x0128, 0x8769, 0x9286, 0xA001
_VERSION = 0x9000
# TIFF's types, and the bytes of one value; where the first directory lies.
_ASCII, _SHORT, _LONG, _RATIONAL, _UNDEFINED = 2, 3, 4, 5, 7
_SIZES = {_ASCII: 1, _SHORT: 2, _LONG: 4, _RATIONAL: 8, _UNDEFINED: 1}
_FIRST = 8
# What a comment in UTF-16 begins with, big-endian by A1111's custom.
UNICODE = b"UNICODE\0"


def picture_bytes(image: NDArray[np.uint8], texts: Mapping[str, str], name: PurePath, quality: int | None) -> bytes:
    """`image` (H, W, 3) as the file called `name`, with the `texts` of a picture (metadata.py).

    quality: 1..100, None for what the format has by default; a PNG has none.
    """
    kind = FORMATS[name.suffix]
    if kind == PNG:
        return png_bytes(image, texts)
    options = dict(_OPTIONS[kind])
    if kind == WEBP and quality is None:
        options |= {"lossless": True, "quality": 50}  # the quality is how hard it tries
    else:
        options["quality"] = quality or _QUALITY[kind]
    claim: dict[str, Any] = json.loads(texts[CLAIM]) | {_DIGEST: "0" * 64}
    packet = with_claim(texts[XMP], canonical_json(claim))
    fits = kind != JPEG or len(packet.encode()) < _SEGMENT
    packet = packet if fits else texts[XMP]
    buffer = io.BytesIO()
    exif = _exif(texts[PARAMETERS], None if kind != JPEG else _SEGMENT)
    picture = Image.fromarray(np.ascontiguousarray(image))
    picture.save(buffer, kind, exif=exif, xmp=packet.encode(), **options)
    content = buffer.getvalue()
    digest = image_data_sha256(content)
    if not fits:
        return _with_comments(content, canonical_json(claim | {_DIGEST: digest}).encode())
    # In JSON within XML nothing else looks like it: a prompt's quotes would have backslashes.
    before = f'"{_DIGEST}":"'
    at = content.index(packet.encode()) + len(packet[: packet.index(before) + len(before)].encode())
    return content[:at] + digest.encode() + content[at + 64 :]


def same_format(one: PurePath, other: PurePath) -> bool:
    """Whether two names of pictures are of one format."""
    return FORMATS[one.suffix] == FORMATS[other.suffix]


def check_format(name: PurePath) -> None:
    """Raise EnvironmentFailure where this machine's Pillow cannot write the format of `name`."""
    kind = FORMATS[name.suffix]
    if kind != PNG and not features.check({JPEG: "jpg"}.get(kind, kind.lower())):
        raise EnvironmentFailure(
            f"{name}: the Pillow of this machine writes no {kind}; install its wheel, `pip install -U Pillow`, or let "
            "`output` end in .png"
        )


def _exif(parameters: str, most: int | None) -> bytes:
    """EXIF with the A1111 text where it fits into `most` bytes, and without it where not.

    Written here, for Pillow gives the comment a type that piexif, by which others read it, takes for another thing.
    """
    # sd-prompt-reader takes a comment that begins with a brace for another program's; readers of A1111's text trim blanks.
    text = f" {parameters}" if parameters.startswith("{") else parameters
    comment = UNICODE + text.encode("utf-16-be")
    resolution = DPI.to_bytes(4) + (1).to_bytes(4)
    own = [(_VERSION, _UNDEFINED, b"0232"), (_SPACE, _SHORT, (1).to_bytes(2))]
    if most is None or len(comment) < most:
        own.append((USER_COMMENT, _UNDEFINED, comment))

    def whole(pointer: int) -> bytes:
        return _directory(
            [
                *((tag, _RATIONAL, resolution) for tag in (_X, _Y)),
                (_UNIT, _SHORT, (2).to_bytes(2)),
                (_SOFTWARE, _ASCII, b"latentpress\0"),
                (EXIF, _LONG, pointer.to_bytes(4)),
            ],
            _FIRST,
        )

    start = _FIRST + len(whole(0))
    return b"Exif\0\0MM\0*" + _FIRST.to_bytes(4) + whole(start) + _directory(own, start)


def _directory(entries: list[tuple[int, int, bytes]], start: int) -> bytes:
    """A directory of TIFF, big-endian, that begins at `start`: (tag, type, data) each, in which what is long lies behind."""
    behind = start + 2 + 12 * len(entries) + 4
    head, tail = len(entries).to_bytes(2), b""
    for tag, kind, data in sorted(entries):
        place = data.ljust(4, b"\0")
        if len(data) > 4:
            place = (behind + len(tail)).to_bytes(4)
            tail += data + bytes(len(data) % 2)
        head += tag.to_bytes(2) + kind.to_bytes(2) + (len(data) // _SIZES[kind]).to_bytes(4) + place
    return head + bytes(4) + tail


def _with_comments(content: bytes, claim: bytes) -> bytes:
    """The JPEG with `claim` in as many comments as it takes, before the picture's tables."""
    at = 2
    while content[at + 1] >> 4 == 0xE:  # APP0 and its kin come first
        at += 2 + int.from_bytes(content[at + 2 : at + 4])
    parts = [COMMENT + claim[start : start + _SEGMENT] for start in range(0, len(claim), _SEGMENT)]
    written = b"".join(b"\xff\xfe" + (len(part) + 2).to_bytes(2) + part for part in parts)
    return content[:at] + written + content[at:]
