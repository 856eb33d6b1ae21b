"""Pictures made small, each under a name of its pixels: what lies there is not made again, and what no cell has goes.

Reads pictures below an output folder, writes below the gallery's own `thumbs`, and knows nothing of pages.
"""

import io
import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from latentpress.batch.pictures.opened import Unshowable, opened
from latentpress.batch.pictures.png import pixel_sha256
from latentpress.files import remove_leftovers, write_durably
from latentpress.gallery.data import thumbnail

# The longest side in pixels: what the largest cell of the page shows on a screen of two dots a pixel.
SIDE = 256
# Below this a picture is kept as it is, without loss: a pictogram stays sharp and is not larger so.
_SMALL = 96
_QUALITY = 80
_OURS = re.compile(r"[0-9a-f]{64}\.webp")


@dataclass(frozen=True)
class Wanted:
    """Pixels to be made small; pixel_sha256: by which the thumbnail is called, and a file known to be what was
    rendered; paths: of the files that should have them."""

    pixel_sha256: str
    paths: list[Path]


def make_thumbnails(
    wanted: Iterable[Wanted], home: Path, report: Callable[[int, int], None] = lambda done, total: None
) -> tuple[int, dict[Path, str]]:
    """Make those that are not in the gallery's folder `home`; returns how many were, and path -> why it cannot be shown.

    report: called with the counts of those made and to be made. Raises OSError where `home` cannot be written.
    """
    missing = [one for one in wanted if not (home / thumbnail(one.pixel_sha256)).is_file()]
    made, faults = 0, dict[Path, str]()
    # Pillow lets go of the interpreter while it decodes and encodes, and a sync waits for the disk.
    with ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) + 1)) as pool:
        try:
            for count, found in enumerate(pool.map(lambda one: _made(one, home), missing), 1):
                faults |= found.faults
                made += found.made
                report(count, len(missing))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return made, faults


def remove_unused(used: Iterable[str], home: Path) -> int:
    """Remove the thumbnails whose pixels are not among `used`, and what a killed process left; returns how many."""
    keep = {f"{pixels}.webp" for pixels in used}
    gone = 0
    for folder in (home / "thumbs").glob("[0-9a-f][0-9a-f]"):
        remove_leftovers([folder])
        for path in folder.iterdir():
            if _OURS.fullmatch(path.name) and path.name not in keep:
                path.unlink(missing_ok=True)
                gone += 1
    remove_leftovers([home])
    return gone


@dataclass(frozen=True)
class _Outcome:
    made: bool
    faults: dict[Path, str]


def _made(wanted: Wanted, home: Path) -> _Outcome:
    """Make a thumbnail of the first file that has the pixels."""
    faults: dict[Path, str] = {}
    for path in wanted.paths:
        if not (fault := _make(path, wanted.pixel_sha256, home)):
            return _Outcome(True, faults)
        faults[path] = fault
    return _Outcome(False, faults)


def _make(path: Path, pixels: str, home: Path) -> str:
    """Make the thumbnail of a file; returns why it cannot be made, "" where it was."""
    try:
        picture = opened(path)
    except Unshowable as why:
        return str(why)
    if picture.format == "PNG" and pixel_sha256(np.asarray(picture)) != pixels:
        return "the file is not the picture that was rendered"
    write_durably(home / thumbnail(pixels), _small(picture), home)
    return ""


def _small(picture: Image.Image) -> bytes:
    """WebP, no side longer than SIDE; without what the picture says of itself."""
    lossless = max(picture.size) <= _SMALL
    small = picture.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", lossless=lossless, quality=_QUALITY, method=2)
    return buffer.getvalue()
