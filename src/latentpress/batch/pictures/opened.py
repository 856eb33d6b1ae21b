"""Picture files opened for a page: of the formats that a render writes, and no larger than a page should hold."""

import io
import warnings
from pathlib import Path

from PIL import Image

from latentpress.batch.pictures.encode import FORMATS
from latentpress.files import read_regular

# The largest file that is read, and the most pixels: a sheet of publication size has some 60 million.
_MOST_BYTES = 1 << 30
_MOST_PIXELS = 100_000_000
_FORMATS = sorted(set(FORMATS.values()))


UNREADABLE = "file cannot be read"


class Unshowable(Exception):
    """A file that no page shows; the message says why."""


def opened(path: Path) -> Image.Image:
    """The picture at `path`, decoded. Raises Unshowable."""
    return decoded(content_of(path))


def content_of(path: Path) -> bytes:
    """The content of the file at `path`. Raises Unshowable."""
    try:
        return read_regular(path, _MOST_BYTES)
    except OSError:
        raise Unshowable(UNREADABLE) from None


def decoded(content: bytes) -> Image.Image:
    """The picture that a file with this content is, decoded. Raises Unshowable."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(content), formats=_FORMATS)
        if picture.width * picture.height > _MOST_PIXELS:
            raise Unshowable("file has too many pixels to be shown")
        picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise Unshowable(UNREADABLE) from None
    return picture
