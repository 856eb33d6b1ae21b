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

from PIL import Image

from latentpress.batch.pictures.fault import NOT_RENDERED, shows
from latentpress.batch.pictures.opened import Unshowable, content_of, decoded
from latentpress.files import remove_leftovers, write_durably
from latentpress.gallery.data import thumbnails

# Below this a picture is kept as it is, without loss: a pictogram stays sharp and is not larger so.
_SMALL = 96
_QUALITY = 80
_OURS = re.compile(r"([0-9a-f]{64})-[0-9]+\.webp")


@dataclass(frozen=True)
class Wanted:
    """Pixels to be made small; pixel_sha256: by which the thumbnails are called, and a file known to be what was
    rendered; width, height: of the picture, in pixels; paths: of the files that should have them."""

    pixel_sha256: str
    width: int
    height: int
    paths: list[Path]

    def thumbnails(self, home: Path) -> dict[int, Path]:
        """Longest side -> file, in the gallery's folder `home`."""
        return {side: home / name for side, name in thumbnails(self.pixel_sha256, self.width, self.height).items()}


def make_thumbnails(
    wanted: Iterable[Wanted], home: Path, report: Callable[[int, int], None] = lambda done, total: None
) -> tuple[int, dict[Path, str]]:
    """Make those that are not in the gallery's folder `home`; returns of how many pictures, and path -> why it cannot be
    shown.

    report: called with the counts of the pictures made small and to be made so. Raises OSError where `home` cannot be
    written.
    """
    missing = [one for one in wanted if not all(path.is_file() for path in one.thumbnails(home).values())]
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
    """Remove the thumbnails whose pixels are not among `used`, and what a killed process left; returns of how many
    pictures."""
    keep, gone = set(used), set[str]()
    for folder in (home / "thumbs").glob("[0-9a-f][0-9a-f]"):
        remove_leftovers([folder])
        for path in folder.iterdir():
            if (ours := _OURS.fullmatch(path.name)) and ours[1] not in keep:
                path.unlink(missing_ok=True)
                gone.add(ours[1])
    remove_leftovers([home])
    return len(gone)


@dataclass(frozen=True)
class _Outcome:
    made: bool
    faults: dict[Path, str]


def _made(wanted: Wanted, home: Path) -> _Outcome:
    """Make thumbnails of the first file that has the pixels."""
    faults: dict[Path, str] = {}
    for path in wanted.paths:
        if not (fault := _make(path, wanted, home)):
            return _Outcome(True, faults)
        faults[path] = fault
    return _Outcome(False, faults)


def _make(path: Path, wanted: Wanted, home: Path) -> str:
    """Make the thumbnails of a file; returns why they cannot be made, "" where they were."""
    try:
        content = content_of(path)
        picture = decoded(content)
    except Unshowable as why:
        return str(why)
    if shows(content, picture, wanted.pixel_sha256) is False:
        return NOT_RENDERED
    lossless, small = max(picture.size) <= _SMALL, picture.convert("RGB")
    # The smaller of the larger: a picture has to be read and reduced once.
    for side, place in sorted(wanted.thumbnails(home).items(), reverse=True):
        small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", lossless=lossless, quality=_QUALITY, method=2)
        write_durably(place, buffer.getvalue(), home)
    return ""
