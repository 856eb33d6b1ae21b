"""One picture of A beside one of B: equal, close, different or unreadable. Compared as they look, in 8 bits."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latentpress.batch.proof.provenance import provenance
from latentpress.compare.made import differences
from latentpress.files import read_regular
from latentpress.measures.likeness import psnr, ssim
from latentpress.runtime.pictures.reading import MAX_PICTURE_BYTES, NotAPicture, decode_picture, read_header

EQUAL, CLOSE, DIFFERENT, UNREADABLE = "equal", "close", "different", "unreadable"


@dataclass(frozen=True)
class Pair:
    """What came of comparing two pictures.

    a, b: their names on each side; state: equal (every pixel is), close, different or unreadable; psnr: dB, and ssim: at
    most 1, None where the pictures are equal, of two sizes or unreadable, or, for ssim, without scikit-image or with a
    side of less than 3 pixels; largest: the largest difference of a channel, 1..255; sizes: (width, height) of A and of B;
    why: what cannot be read, and why; made: what differs in how they were made; same_file: the bytes are equal.
    """

    a: str
    b: str
    state: str
    psnr: float | None = None
    ssim: float | None = None
    largest: int | None = None
    sizes: tuple[tuple[int, int], tuple[int, int]] | None = None
    why: str | None = None
    made: tuple[str, ...] = ()
    same_file: bool = False

    @property
    def badness(self) -> tuple[int, float]:
        """Sorts pairs, the worst first: unreadable ones, those of two sizes, then by their dB."""
        if self.state == UNREADABLE:
            return 0, 0.0
        return (1, 0.0) if self.psnr is None else (2, self.psnr)


def compare_pair(a: Path, b: Path, names: tuple[str, str], close: float) -> Pair:
    """Compare the files at `a` and `b`, which are called `names`; close: dB from which on pictures are close.

    Never raises for what is in the files or that they cannot be read. Files of equal bytes are equal, also where they hold
    no picture.
    """
    contents: list[bytes] = []
    for path, side in ((a, "A"), (b, "B")):
        try:
            contents.append(read_regular(path, MAX_PICTURE_BYTES))
        except OSError as error:
            return Pair(*names, UNREADABLE, why=f"{side} cannot be read ({error.strerror or error})")
    if contents[0] == contents[1]:
        return Pair(*names, EQUAL, same_file=True)
    made = differences(*(provenance(content) for content in contents))
    arrays: list[NDArray[np.uint8]] = []
    for content, side in zip(contents, "AB", strict=True):
        try:
            arrays.append(pixels(content))
        except NotAPicture as error:
            return Pair(*names, UNREADABLE, why=f"{side} is no whole picture ({error})")
    one, other = same_channels(*arrays)
    sizes = (one.shape[1], one.shape[0]), (other.shape[1], other.shape[0])
    if sizes[0] != sizes[1]:
        return Pair(*names, DIFFERENT, sizes=sizes, made=made)
    if np.array_equal(one, other):
        return Pair(*names, EQUAL, made=made)
    decibels, largest = psnr(one, other)
    state = CLOSE if decibels >= close else DIFFERENT
    return Pair(*names, state, decibels, ssim(one, other), largest, sizes, made=made)


def pixels(content: bytes) -> NDArray[np.uint8]:
    """The picture whose file holds `content`, upright: (H, W, 3), or (H, W, 4) with transparency. Raises NotAPicture."""
    read_header(content)  # it checks the checksums, which decoding does not
    decoded = decode_picture(content)
    colours = np.asarray(decoded.colours)
    return colours if decoded.alpha is None else np.dstack([colours, np.asarray(decoded.alpha)])


def same_channels(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both with transparency where one has it; what has none is opaque."""
    most = max(a.shape[2], b.shape[2])

    def with_alpha(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return image if image.shape[2] == most else np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])

    return with_alpha(a), with_alpha(b)
