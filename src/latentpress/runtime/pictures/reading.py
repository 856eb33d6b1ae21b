"""Reads the bytes of a given picture as a viewer shows them: upright, deep greys scaled to 8 bits, transparency apart.

Pillow's own `convert("RGB")`, which diffusers is given, clips greys of more than 8 bits to white and drops transparency.
Knows nothing of latents, and of masks no more than what counts as white.
"""

import contextlib
import io
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageColor, UnidentifiedImageError

from latentpress.errors import reason

# How given pictures become pixels: as they look, masks by any pixel; or all as diffusers has it.
SHOWN, DIFFUSERS = "shown", "diffusers"
READINGS = (SHOWN, DIFFUSERS)
# What transparent pictures are laid on where nobody says otherwise: A1111's choice, and paper's.
WHITE = "#ffffff"

# Larger than any picture that Pillow opens (179 megapixels) as 8-bit RGB.
MAX_PICTURE_BYTES = 1 << 30

# What turns a picture upright, by the number its EXIF data gives it; 5 to 8 exchange the sides.
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Modes of 8 bits or fewer without transparency of their own, which Pillow converts as they look.
_PLAIN = ("1", "L", "P", "RGB", "RGBX", "YCbCr", "CMYK", "HSV", "LAB")
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_IN_WORDS = {"I": "32-bit whole numbers", "F": "floating point", "LAB": "CIE Lab"}
# TIFF's tags, and PNG's bits of a grey by Pillow's name for how its bytes are read.
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_FEW_BITS = {"L;2": 3, "L;4": 15}
# Formats whose further frames are no animation: a camera's previews, layers, sizes.
_NOT_FRAMES = ("MPO", "PSD", "ICO", "ICNS")


class NotAPicture(Exception):
    """The bytes hold no picture that can be read; the message says why, without naming the file."""


@dataclass(frozen=True)
class Header:
    """What a picture says of itself before its pixels are decoded.

    size: upright (height, width) in pixels; plain: whether Pillow's `convert("RGB")` gives it as it looks; notes: what
    about it is unusual, each a sentence's end ("is ...").
    """

    size: tuple[int, int]
    plain: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Decoded:
    """A decoded picture; its images have one size and stand upright.

    colours: RGB, as they look, transparency dropped; alpha: L, 255 is opaque, None where all of it is; clipped: RGB as
    `convert("RGB")` gives it, None where it gives none; notes: as in Header, of the pixels.
    """

    colours: Image.Image
    alpha: Image.Image | None
    clipped: Image.Image | None
    notes: tuple[str, ...] = ()

    def on(self, background: str) -> Image.Image:
        """RGB: the picture laid on the colour `background`, "#rrggbb"."""
        if self.alpha is None:
            return self.colours
        return Image.composite(self.colours, Image.new("RGB", self.colours.size, background), self.alpha)

    @property
    def both(self) -> bool:
        """Whether a mask's opaque pixels (alpha of at least half) are partly bright and partly dark."""
        if self.alpha is None:
            return False
        bright = white(self.colours.convert("L"))[white(self.alpha)]
        return bool(bright.any() and not bright.all())

    def mask(self) -> Image.Image:
        """L: the brightness; of a picture with transparency its alpha, and where that is bright and dark, the lesser.

        So a shape in any one colour on nothing is the mask, and black strokes beside white ones are not.
        """
        grey = self.colours.convert("L")
        if self.alpha is None:
            return grey
        return ImageChops.darker(grey, self.alpha) if self.both else self.alpha


def white(grey: Image.Image) -> NDArray[np.bool_]:
    """(H, W): where `grey`, of mode L, is at least half white."""
    return np.asarray(grey) >= 128


def read_header(content: bytes) -> Header:
    """What is known of a picture without decoding it; its checksums are checked. Raises NotAPicture."""
    with _sentences(), Image.open(io.BytesIO(content)) as picture:
        width, height = picture.size
        turned = picture.getexif().get(_ORIENTATION, 1) >= 5
        plain = picture.mode in _PLAIN and "transparency" not in picture.info
        notes = _notes(picture)
        # A palette may hold alpha of its own, without a word in `info`.
        plain = plain and getattr(picture.palette, "mode", "RGB") == "RGB"
    with _sentences(), Image.open(io.BytesIO(content)) as picture:
        picture.verify()  # wants a file just opened
    return Header((width, height) if turned else (height, width), plain, notes)


def decode_picture(content: bytes) -> Decoded:
    """The picture whose file holds `content`, of several frames the first. Raises NotAPicture."""
    with _sentences(), Image.open(io.BytesIO(content)) as picture:
        depth = _raw(picture)
        picture.load()
        method = _UPRIGHT.get(picture.getexif().get(_ORIENTATION, 1))
        colours, alpha, notes = _as_it_looks(picture, depth)
        clipped = colours if picture.mode in _PLAIN and colours.mode == "RGB" else _clipped(picture)
    if alpha is not None and alpha.getextrema() == (255, 255):
        alpha = None
    if method is not None:
        whole = clipped is colours
        colours = colours.transpose(method)
        clipped = colours if whole else clipped and clipped.transpose(method)
        alpha = alpha and alpha.transpose(method)
    return Decoded(colours, alpha, clipped, notes)


def colour(text: str) -> str | None:
    """The colour that Pillow calls `text` (a CSS name, "#rgb", "#rrggbb", "rgb(...)", "hsl(...)") as "#rrggbb".

    None for what is no colour, or not an opaque one.
    """
    try:
        found = ImageColor.getrgb(text)
    except ValueError:
        return None
    return "#{:02x}{:02x}{:02x}".format(*found) if len(found) == 3 or found[3] == 255 else None


def _as_it_looks(picture: Image.Image, raw: str) -> tuple[Image.Image, Image.Image | None, tuple[str, ...]]:
    """(RGB, alpha, notes) of a loaded picture."""
    key = picture.info.get("transparency")
    if picture.mode in _DEEP:
        values = np.asarray(picture)
        grey, notes = _eight_bits(picture, raw)
        return grey.convert("RGB"), None if key is None else _keyed(values != key), notes
    if picture.mode in ("RGB", "L", "1") and key is not None:
        if raw in _FEW_BITS:  # the key is counted in the file's own bits
            key = key * 255 // _FEW_BITS[raw]
        if raw.startswith("RGB;16"):
            key = tuple(part >> 8 for part in key)
        same = np.asarray(picture.convert("L") if picture.mode == "1" else picture) == np.asarray(key)
        return picture.convert("RGB"), _keyed(~(same.all(-1) if same.ndim == 3 else same)), ()
    if picture.mode in _PLAIN and not picture.has_transparency_data:
        return picture.convert("RGB"), None, ()
    if picture.mode == "La":
        picture = picture.convert("LA")
    apart = picture if picture.mode == "RGBA" else picture.convert("RGBA")
    return apart.convert("RGB"), apart.getchannel("A"), ()


def _keyed(opaque: NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(opaque.astype(np.uint8) * np.uint8(255))


def _eight_bits(picture: Image.Image, raw: str) -> tuple[Image.Image, tuple[str, ...]]:
    """A picture of one deep channel as L, scaled by what its format calls white; notes on its range.

    Floats are 0..1, or, where one is larger, 0..255, as Pillow's own mode F.
    """
    values: NDArray[np.float64] = np.asarray(picture).astype(np.float64)
    tags: Any = getattr(picture, "tag_v2", {})
    if picture.mode == "F":
        if not np.isfinite(values).all():
            raise NotAPicture("it holds NaN or infinite values")
        top = 1.0 if values.max() <= 1 else 255.0
    elif picture.mode != "I":
        top = 4095.0 if raw.startswith("I;12") else 65535.0
    elif picture.format != "TIFF":
        top = 65535.0 if picture.format == "PPM" else 2.0**31 - 1
    else:
        bits = int(tags.get(_BITS, (32,))[0])
        signed = int(tags.get(_SAMPLE_FORMAT, (1,))[0]) == 2
        if not signed:  # Pillow has no unsigned 32 bits: their upper half came out negative
            values = values % 2.0**bits
        top = 2.0 ** (bits - signed) - 1
    notes = ()
    if 0 < values.max() < top / 256 or (picture.mode == "F" and top > 1):
        notes = (f"holds values from {values.min():g} to {values.max():g}, of which white is {top:g}",)
    unit = np.clip(values / top, 0, 1)
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero, which Pillow heeds in 8 bits alone
        unit = 1 - unit
    return Image.fromarray(np.rint(unit * 255).astype(np.uint8)), notes


def _clipped(picture: Image.Image) -> Image.Image | None:
    try:
        return picture.convert("RGB")
    except ValueError:  # grey with premultiplied alpha
        return None


def _raw(picture: Image.Image) -> str:
    """Pillow's name for how the file's bytes become pixels, "" where it has none."""
    tiles: Any = getattr(picture, "tile", ())
    args: Any = tiles[0][3] if tiles else ""
    first: Any = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _notes(picture: Image.Image) -> tuple[str, ...]:
    found: list[str] = []
    if picture.mode in _DEEP or picture.mode == "LAB":
        found.append(f"is {_IN_WORDS.get(picture.mode, '16-bit grey')} and is brought to 8-bit RGB")
    if picture.mode == "CMYK":
        found.append(
            "is CMYK and is converted to RGB without its colour profile; convert it yourself for exact colours"
        )
    elif (profile := _profile(picture)) is not None:
        found.append(f"has the colour profile {profile}, which is not applied; convert it to sRGB for exact colours")
    frames = int(getattr(picture, "n_frames", 1))
    if frames > 1 and picture.format not in _NOT_FRAMES:
        found.append(f"holds {frames} frames, of which the first is used")
    return tuple(found)


def _profile(picture: Image.Image) -> str | None:
    """The name of an embedded colour profile; None where there is none, or it is sRGB's or a plain grey."""
    content = picture.info.get("icc_profile")
    if not content or picture.mode in ("1", "L", "LA", "I;16"):
        return None
    from PIL import ImageCms

    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(content)))
    except (OSError, ImageCms.PyCMSError):
        return None
    name = " ".join(name.split())[:60]
    return None if "srgb" in name.lower() else name


@contextlib.contextmanager
def _sentences() -> Generator[None]:
    """Within, whatever Pillow raises becomes NotAPicture, and what it warns of is left to the notes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except NotAPicture:
        raise
    except Exception as error:
        # A damaged file can fail anywhere in Pillow's readers, with any exception.
        raise NotAPicture(_why(error)) from None


def _why(error: Exception) -> str:
    """What Pillow says, without addresses in memory."""
    if isinstance(error, UnidentifiedImageError):
        return "of no format that is known"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million pixels"
    return reason(error)
