"""Whether the file of a picture that the ledger calls done still shows what was rendered, for all that show pictures."""

from pathlib import Path

import numpy as np
from PIL import Image

from latentpress.batch.pictures.containers import lossy, whole
from latentpress.batch.pictures.intact import Found, look
from latentpress.batch.pictures.opened import Unshowable, content_of, decoded
from latentpress.batch.pictures.png import pixel_sha256

NOT_RENDERED = "file is not what was rendered"


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
        content = content_of(path)
        return None if shows(content, decoded(content), pixels) else NOT_RENDERED
    except Unshowable as why:
        return str(why)


def shows(content: bytes, picture: Image.Image, pixels: str | None) -> bool | None:
    """Whether the decoded `picture` of a file with this content has the pixels of this sha256; None where its format loses
    some, so that nobody can tell."""
    if lossy(content):
        return None
    return whole(content) and picture.mode == "RGB" and pixel_sha256(np.asarray(picture)) == pixels
