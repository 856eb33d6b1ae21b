"""Fields that name files of pictures: hashed and measured when they are read, so that a plan knows their sizes."""

import hashlib
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from latentpress.manifest.field import Reader, Values
from latentpress.manifest.nodes import Node
from latentpress.manifest.values import is_none, parse_text
from latentpress.runtime.request import ImageFile

# As diffusers' image-to-image and inpainting pipelines have it.
STRENGTH, INPAINTING_STRENGTH = 0.8, 1.0
# Pictures whose sum and size are kept: a matrix names the same few again and again.
_KEPT = 4096


@dataclass(frozen=True)
class Picture:
    """A given picture: its file, and its (height, width) brought down to multiples of 8."""

    file: ImageFile
    size: tuple[int, int]


def parse_picture(name: str, node: Node, reader: Reader) -> tuple[Picture, ...] | None:
    """The picture file at `node`, relative to the manifest's folder; none for `none`."""
    if is_none(node):
        return ()
    text = parse_text(name, node, reader.problems)
    if text is None:
        return None
    path = Path(node.place.file).parent / text
    try:
        state = path.stat()
        return (_look(path, state.st_mtime_ns, state.st_size),)
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        reader.problems.add(node.place, f"{name} {path} {reason}; paths start at the manifest's folder")
    except _NotAPicture as error:
        message = f"{name} {path} is not a picture that can be read ({error}); save it as PNG or JPEG"
        reader.problems.add(node.place, message)
    return None


def picture_of(values: Values, name: str) -> Picture | None:
    """The picture that the field `name` gives, None where it gives none."""
    return values[name][0] if values[name] else None


def stem(values: Values, name: str) -> str:
    """What a given picture is called in names and labels."""
    picture = picture_of(values, name)
    return picture.file.path.stem if picture else "none"


def strength(values: Values) -> float:
    """The strength asked for, or the usual one; without an init image it has no effect and is always 1."""
    if not values["init_image"]:
        return 1.0
    usual = INPAINTING_STRENGTH if values["mask_image"] else STRENGTH
    return usual if values["strength"] is None else float(values["strength"])


class _NotAPicture(Exception):
    """The file is there and holds no picture."""


@lru_cache(_KEPT)
def _look(path: Path, modified: int, size: int) -> Picture:
    """Hash and measure the picture at `path`, once for each state of the file."""
    content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content)) as picture:
            width, height = picture.size
            # Cameras store portraits lying down, with a note to turn them: 5 to 8 exchange the sides.
            if picture.getexif().get(0x0112, 1) >= 5:
                width, height = height, width
        with Image.open(io.BytesIO(content)) as picture:
            picture.verify()  # wants a file just opened
    except UnidentifiedImageError:  # its own words name an address in memory
        raise _NotAPicture("of no format that is known") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _NotAPicture(" ".join(str(error).split())[:100] or type(error).__name__) from None
    digest = hashlib.sha256(content).hexdigest()
    return Picture(ImageFile(digest, path), (max(8, height // 8 * 8), max(8, width // 8 * 8)))
