"""A picture as the bytes of a PNG, and the hash of its pixels. Pure functions of arrays and text; writes no file."""

import hashlib
import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from latentpress.batch.pictures.xmp import KEYWORD as XMP

# Pixels an inch of paper, for programs that lay out pages: what journals ask of photographs at least.
DPI = 300
# The chunk sRGB: perceptual rendering intent.
_PERCEPTUAL = b"\0"


def png_bytes(image: NDArray[np.uint8], chunks: Mapping[str, str]) -> bytes:
    """`image` (H, W, 3) as a PNG with the given text chunks."""
    info = PngInfo()
    info.add(b"sRGB", _PERCEPTUAL)
    for keyword, text in chunks.items():
        # iTXt wherever Latin-1 would not do, and wherever tEXt would end early or mangle a line break.
        if text.isascii() and keyword != XMP:
            info.add_text(keyword, text)
        else:
            info.add_itxt(keyword, text)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", pnginfo=info, dpi=(DPI, DPI))
    return buffer.getvalue()


def pixel_sha256(image: NDArray[np.uint8]) -> str:
    """Lowercase hex sha256 of the image's shape and pixels."""
    digest = hashlib.sha256(f"{image.shape}".encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()
