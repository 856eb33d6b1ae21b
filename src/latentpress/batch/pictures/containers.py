"""How the files of pictures are built: which format, whether all of it is there, and which bytes are the picture's.

Knows PNG, JPEG, WebP and AVIF, and nothing of what is written into them beside the picture. Decodes nothing.
"""

import hashlib
import zlib
from collections.abc import Iterator

PNG, JPEG, WEBP, AVIF = "PNG", "JPEG", "WEBP", "AVIF"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# JPEG's markers: of scans and of the end; APP1 has EXIF or XMP, COM a comment.
_SOS, _EOI, _APP1, _COM = 0xDA, 0xD9, 0xE1, 0xFE


class _Broken(ValueError):
    """The file is not built as its format wants it."""


def format_of(content: bytes) -> str | None:
    """Which format it begins like, None for any other."""
    if content.startswith(SIGNATURE):
        return PNG
    if content.startswith(_JPEG):
        return JPEG
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return WEBP
    return AVIF if content[4:8] == b"ftyp" and b"avi" in content[8:32] else None


def whole(content: bytes) -> bool:
    """Whether it is a picture from its first byte to its last, and nothing after it. Of PNG each chunk has a checksum."""
    kind = format_of(content)
    if kind == PNG:
        return bool(png_chunks(content))
    try:
        return kind is not None and bool(image_data_sha256(content))
    except _Broken:
        return False


def lossy(content: bytes) -> bool:
    """Whether decoding gives other pixels than those that were encoded."""
    kind = format_of(content)
    if kind == WEBP:
        try:
            return all(name != b"VP8L" for name, _ in _riff(content))
        except _Broken:
            return True
    return kind in (JPEG, AVIF)


def image_data_sha256(content: bytes) -> str:
    """Lowercase hex sha256 of the compressed picture in a JPEG, WebP or AVIF, without what is said beside it.

    Raises ValueError where the file is cut short or built otherwise.
    """
    digest = hashlib.sha256()
    try:
        for part in _PARTS[format_of(content) or ""](content):
            digest.update(part)
    except (KeyError, IndexError):
        raise _Broken("no picture of a known format") from None
    return digest.hexdigest()


def png_chunks(content: bytes) -> list[str]:
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


def _jpeg(content: bytes) -> Iterator[bytes]:
    """Everything but what APP1 and comments say."""
    at = 2
    while content[at] == 0xFF and content[at + 1] != _SOS:
        marker, end = content[at + 1], at + 2 + int.from_bytes(content[at + 2 : at + 4])
        if end > len(content) or end < at + 4:
            raise _Broken("a segment is cut short")
        if marker not in (_APP1, _COM):
            yield content[at:end]
        at = end
    if content[at] != 0xFF or content[-2:] != bytes((0xFF, _EOI)):
        raise _Broken("its end is missing")
    yield content[at:]


def _webp(content: bytes) -> Iterator[bytes]:
    pictures = [data for name, data in _riff(content) if name in (b"VP8 ", b"VP8L", b"ALPH")]
    if not pictures:
        raise _Broken("no picture")
    yield from pictures


def _riff(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each chunk's name and data."""
    if int.from_bytes(content[4:8], "little") + 8 != len(content):
        raise _Broken("cut short")
    at = 12
    while at < len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        if at + 8 + size > len(content):
            raise _Broken("a chunk is cut short")
        yield content[at : at + 4], content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _avif(content: bytes) -> Iterator[bytes]:
    """The item that is the picture."""
    meta = next((data for name, data in _boxes(content) if name == b"meta"), b"")
    inner = dict(_boxes(meta[4:]))
    primary, places = inner.get(b"pitm", b""), inner.get(b"iloc", b"")
    if not primary or not places:
        raise _Broken("no picture")
    wanted = int.from_bytes(primary[4:8] if primary[0] else primary[4:6])
    found = list(_extents(places, wanted))
    if not found:
        raise _Broken("no picture")
    for start, length in found:
        if start + length > len(content):
            raise _Broken("cut short")
        yield content[start : start + length]


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each box's name and data."""
    at = 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4])
        if size < 8 or at + size > len(content):  # longer ones are not written
            raise _Broken("a box is cut short")
        yield content[at + 4 : at + 8], content[at + 8 : at + size]
        at += size


def _extents(places: bytes, wanted: int) -> Iterator[tuple[int, int]]:
    """Where in the file an item lies, by the box `iloc` of ISO/IEC 14496-12: (offset, length) each."""
    version, at = places[0], 6
    sizes = [places[4] >> 4, places[4] & 15, places[5] >> 4, places[5] & 15 if version else 0]

    def number(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(places[at - size : at])

    for _ in range(number(4 if version == 2 else 2)):
        item = number(4 if version == 2 else 2)
        number(2 if version else 0)
        number(2)
        base = number(sizes[2])
        for _ in range(number(2)):
            number(sizes[3])
            extent = base + number(sizes[0]), number(sizes[1])
            if item == wanted:
                yield extent


_PARTS = {JPEG: _jpeg, WEBP: _webp, AVIF: _avif}
