"""Given pictures as files: the one that was planned, decoded; what is said where it cannot be."""

import hashlib

from PIL import Image

from latentpress.errors import UsageError
from latentpress.files import read_regular
from latentpress.runtime.pictures.reading import DIFFUSERS, MAX_PICTURE_BYTES, Decoded, NotAPicture, decode_picture
from latentpress.runtime.request import ImageFile


def read_given(file: ImageFile) -> Decoded:
    """The picture in `file`. Raises UsageError for one that is missing, not a picture, or not the one that was planned."""
    try:
        content = read_regular(file.path, MAX_PICTURE_BYTES)
    except OSError as error:
        raise UsageError(f"{file.path}: cannot be read any more ({error.strerror}); put the picture back") from None
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise UsageError(
            f"{file.path}: the picture changed since the manifest was planned; render again to use the new one"
        )
    try:
        return decode_picture(content)
    except NotAPicture as error:
        raise UsageError(f"{file.path}: not a picture that can be read ({error}); save it as PNG or JPEG") from None


def given_colours(file: ImageFile, reading: str, background: str) -> Image.Image:
    """RGB: the picture in `file`, by one of the READINGS; raises UsageError as `read_given` does."""
    decoded = read_given(file)
    return clipped_colours(file, decoded) if reading == DIFFUSERS else decoded.on(background)


def clipped_colours(file: ImageFile, decoded: Decoded) -> Image.Image:
    """RGB: the picture as diffusers is given it; raises UsageError where it is given none."""
    if decoded.clipped is None:
        raise UsageError(
            f"{file.path}: diffusers cannot read such a picture; leave picture_reading out, or save it as RGB"
        )
    return decoded.clipped
