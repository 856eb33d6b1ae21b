"""Fields that name files of pictures: hashed and measured when they are read, so that a plan knows what they are."""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from latentpress.errors import UsageError
from latentpress.files import read_regular, unread
from latentpress.manifest.field import Reader, Values
from latentpress.manifest.inputs import note_file
from latentpress.manifest.nodes import Node, described
from latentpress.manifest.plain_text import STARTS
from latentpress.manifest.values import is_none, parse_text
from latentpress.runtime.facts import Bundles
from latentpress.runtime.pictures.masks import MODES, PICTURE_ALPHA, MaskFacts, mask_facts
from latentpress.runtime.pictures.reading import (
    DIFFUSERS,
    MAX_PICTURE_BYTES,
    SHOWN,
    WHITE,
    Decoded,
    NotAPicture,
    colour,
    decode_picture,
    read_header,
)
from latentpress.runtime.request import ImageFile

# As diffusers' image-to-image and inpainting pipelines have it.
STRENGTH, INPAINTING_STRENGTH = 0.8, 1.0
# Pictures whose sum and size are kept: a matrix names the same few again and again.
_KEPT = 4096


@dataclass(frozen=True)
class Picture:
    """A given picture: its file, its own (height, width), and that brought down to multiples of 8.

    plain: whether Pillow's `convert("RGB")` gives it as it looks; transparent: whether any of it is;
    notes: what about it is unusual, each a sentence's end ("is ...").
    """

    file: ImageFile
    own_size: tuple[int, int]
    size: tuple[int, int]
    plain: bool
    transparent: bool
    notes: tuple[str, ...]


def parse_picture(name: str, node: Node, reader: Reader) -> tuple[Picture, ...] | None:
    """The picture file at `node`, relative to the manifest's folder; none for `none`."""
    if is_none(node):
        return ()
    text = parse_text(name, node, reader.problems)
    if text is None:
        return None
    path = Path(node.place.file).parent / text
    note_file(path)
    try:
        state = path.stat()
        return (_look(path, name == "mask_image", state.st_mtime_ns, state.st_size),)
    except OSError as error:
        what = f"{name} {path} {unread(path, error)}; {STARTS}"
        reader.problems.add(node.place, what)
    except NotAPicture as error:
        message = f"{name} {path} is not a picture that can be read ({error}); save it as PNG or JPEG"
        reader.problems.add(node.place, message)
    return None


def parse_background(node: Node, reader: Reader) -> str | None:
    """A colour, as it is written."""
    text = parse_text("background", node, reader.problems)
    if text is None or (colour(text) is not None and not is_none(node)):
        return text
    rule = "it must be an opaque colour such as white or '#ffffff', in quotes, for # begins a comment"
    reader.problems.add(node.place, f"background is {described(node)}; {rule}")
    return None


def picture_of(values: Values, name: str) -> Picture | None:
    """The picture that the field `name` gives, None where it gives none."""
    return values[name][0] if values[name] else None


def stem(values: Values, name: str) -> str:
    """What a given picture is called in names and labels."""
    picture = picture_of(values, name)
    return picture.file.path.stem if picture else "none"


def settled_picture(values: Values, bundles: Bundles) -> tuple[ImageFile | None]:
    """The file of the init image, with the rules that it is touched by."""
    picture = picture_of(values, "init_image")
    if picture is None or values["picture_reading"] == SHOWN:
        return (picture and picture.file,)
    return (replace(picture.file, otherwise=()),)


def settled_mask(values: Values, bundles: Bundles) -> tuple[ImageFile | None]:
    """The file of the mask, with the rules that it is touched by at this job's size."""
    mask, facts = picture_of(values, "mask_image"), facts_of_mask(values, bundles)
    if mask is None or facts is None or values["picture_reading"] == DIFFUSERS:
        return (mask and mask.file,)
    return (replace(mask.file, otherwise=facts.rules),)


def settled_reading(values: Values, bundles: Bundles) -> tuple[str]:
    """How the given pictures are read: as shown wherever that makes no difference, which is what hashes then hold."""
    picture, facts = picture_of(values, "init_image"), facts_of_mask(values, bundles)
    differs = picture is not None and bool(picture.transparent or picture.file.otherwise)
    return (values["picture_reading"] if differs or (facts is not None and facts.rules) else SHOWN,)


def settled_background(values: Values, bundles: Bundles) -> tuple[str]:
    """The colour behind the init image as "#rrggbb"; white where nothing shows it."""
    picture = picture_of(values, "init_image")
    shown = picture is not None and picture.transparent and values["picture_reading"] == SHOWN
    return ((shown and colour(values["background"])) or WHITE,)


def size_of(values: Values) -> tuple[int, int] | None:
    """(height, width) as asked for, or a given picture's own; None for the bundle's."""
    picture = picture_of(values, "init_image")
    return values["size"] or (picture.size if picture else None)


def facts_of_mask(values: Values, bundles: Bundles) -> MaskFacts | None:
    """What the mask comes to at the size of this job; None without one, or where its file is gone since it was read."""
    mask, bundle = picture_of(values, "mask_image"), bundles[values["model"]]
    if mask is None:
        return None
    height, width = size_of(values) or bundle.default_size
    try:
        return mask_facts(mask.file, height, width, bundle.vae_scale_factor, bundle.inpainting)
    except UsageError:  # rendering will say so
        return None


def strength(values: Values) -> float:
    """The strength asked for, or the usual one; without an init image it has no effect and is always 1."""
    if not values["init_image"]:
        return 1.0
    usual = INPAINTING_STRENGTH if values["mask_image"] else STRENGTH
    return usual if values["strength"] is None else float(values["strength"])


@lru_cache(_KEPT)
def _look(path: Path, is_mask: bool, modified: int, size: int) -> Picture:
    """Hash and measure the picture at `path`, once for each state of the file.

    Pixels are decoded where they may not be what they look like, and of masks.
    """
    content = read_regular(path, MAX_PICTURE_BYTES)
    header = read_header(content)
    otherwise: tuple[str, ...] = ()
    transparent, notes = False, header.notes
    if is_mask or not header.plain:
        decoded = decode_picture(content)
        transparent = decoded.alpha is not None
        notes += decoded.notes
        otherwise = () if is_mask else _otherwise(decoded)
        if transparent:
            notes += (_alpha_note(decoded, is_mask),)
    file = ImageFile(hashlib.sha256(content).hexdigest(), path, otherwise)
    height, width = header.size
    return Picture(
        file, header.size, (max(8, height // 8 * 8), max(8, width // 8 * 8)), header.plain, transparent, notes
    )


def _otherwise(decoded: Decoded) -> tuple[str, ...]:
    """The rules that an init image is touched by."""
    modes = decoded.clipped is not None and decoded.clipped.tobytes() != decoded.colours.tobytes()
    alpha = decoded.on(WHITE).tobytes() != decoded.colours.tobytes()
    return tuple(name for name, differs in ((MODES, modes), (PICTURE_ALPHA, alpha)) if differs)


def _alpha_note(decoded: Decoded, is_mask: bool) -> str:
    if not is_mask:
        return "is transparent in places, where it is laid on {background}"
    if decoded.both:
        return "is transparent in places, so what is opaque and white is redrawn"
    return "is transparent in places, so what is opaque is redrawn, whatever its colour"
