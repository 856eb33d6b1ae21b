"""Whether the file of a picture that the ledger calls done still shows what was rendered, for all that show pictures."""

from pathlib import Path

from latentpress.batch.pictures.chunks import kept_pixels
from latentpress.batch.pictures.intact import MAX_BYTES, Found, look
from latentpress.batch.pictures.opened import Unshowable, opened
from latentpress.batch.pictures.png import pixel_sha256
from latentpress.files import read_regular


def fault_of(path: Path, pixels: str | None, sha256: str | None, size: int | None, stamp: str | None) -> str | None:
    """Why the file at `path` does not show what was rendered, in words; "" where no file is there, None where it does.

    pixels: the sha256 of the pixels; sha256, size, stamp: of the file when it was written (intact.py). A file that another
    program wrote anew, with the same pixels in a format that keeps them all, shows it too.
    """
    found = look(str(path), sha256, size, stamp).found
    if found is Found.WHOLE:
        return None
    if found is Found.NOTHING:
        return ""
    try:
        opened(path)
        kept = kept_pixels(read_regular(path, MAX_BYTES))
    except (Unshowable, OSError):
        return "file cannot be read"
    return None if kept is not None and pixel_sha256(kept) == pixels else "file is not what was rendered"
