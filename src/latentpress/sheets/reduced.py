"""The pictures of pages at the resolution they are printed at. Reads picture files; knows no painter."""

import io
import math
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath

from PIL import Image
from PIL.Image import Resampling

from latentpress.files import check_regular
from latentpress.sheets.page import MM_PER_INCH, Page, Picture

# What Typst, browsers and LaTeX read alike.
_KEPT = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_MEDIA = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


def too_coarse(pages: Sequence[Page], dpi: float) -> list[str]:
    """A line for each size of picture that has fewer dots than `dpi` asks for where it stands."""
    found = Counter(
        (box.cell.width, box.cell.height, round(box.cell.width / box.rect.width * MM_PER_INCH))
        for page in pages
        for box in page.boxes
        if isinstance(box, Picture) and box.cell.width / box.rect.width * MM_PER_INCH < dpi * 0.995
    )
    return [
        f"{count:,} of the pictures, of {width}x{height} pixels, print at {has} dots an inch where {dpi:g} are asked for; "
        "make the sheet narrower, or render larger pictures"
        for (width, height, has), count in found.items()
    ]


def kept_suffix(file: PurePath) -> str:
    """The suffix of the kind of file that goes into a document: PNG of what not every program reads."""
    return file.suffix.lower() if file.suffix.lower() in _KEPT else ".png"


def place_reduced(picture: Picture, source: Path, target: Path, dpi: float | None) -> None:
    """Put the picture file at `source` to `target`, with fewer dots if it has more than `dpi` asks for.

    One that has not is linked to, byte for byte. OSError where it cannot be read.
    """
    check_regular(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source) as opened:
        size = _size(picture, opened.size, dpi)
        if size == opened.size and _KEPT.get(target.suffix.lower()) == opened.format:
            opened.verify()
        else:
            target.write_bytes(_saved(opened, size, target))
            return
    try:
        target.symlink_to(source.resolve())
    except OSError:  # a system without links
        shutil.copyfile(source, target)


def reduced_bytes(picture: Picture, source: Path, dpi: float | None) -> tuple[bytes, str]:
    """The picture as the bytes of a file that browsers read, and their media type."""
    check_regular(source)
    with Image.open(source) as opened:
        size = _size(picture, opened.size, dpi)
        if size == opened.size and opened.format in _MEDIA:
            opened.load()
            return source.read_bytes(), _MEDIA[opened.format]
        return _saved(opened, size, Path("reduced.png")), "image/png"


def _size(picture: Picture, size: tuple[int, int], dpi: float | None) -> tuple[int, int]:
    if dpi is None:
        return size
    room = picture.rect.width / MM_PER_INCH * dpi, picture.rect.height / MM_PER_INCH * dpi
    # One dot more than asked for, rather than one less.
    smaller = min(size[0], math.ceil(room[0] - 1e-6)), min(size[1], math.ceil(room[1] - 1e-6))
    return max(1, smaller[0]), max(1, smaller[1])


def _saved(opened: Image.Image, size: tuple[int, int], target: Path) -> bytes:
    """Reduced, in the kind of file that `target` is named for; lossless but for JPEG."""
    buffer = io.BytesIO()
    picture = opened.convert("RGB")
    if size != picture.size:
        picture = picture.resize(size, Resampling.LANCZOS)
    kind = _KEPT.get(target.suffix.lower(), "PNG")
    if kind == "JPEG":
        picture.save(buffer, kind, quality=95, subsampling=0)
    elif kind == "WEBP":
        picture.save(buffer, kind, lossless=True)
    else:
        picture.save(buffer, kind)
    return buffer.getvalue()
