"""The fields of a job that say how its picture begins, how its prompts are read and which parts of SDXL are used."""

import hashlib
import io
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from PIL import Image

from latentpress.manifest.nodes import ListNode, MapNode, Node, Place, Problems, Scalar, described
from latentpress.manifest.values import Field, is_none, parse_choice, parse_number, parse_size, parse_text
from latentpress.runtime.prompts import LONG_PROMPTS, PLAIN, WEIGHTINGS
from latentpress.runtime.request import ImageFile, MicroConditioning

# As diffusers' image-to-image and inpainting pipelines have it.
STRENGTH, INPAINTING_STRENGTH = 0.8, 1.0
# diffusers' documentation hands over here; the base does the coarse four fifths.
SWITCH_AT = 0.8

_REFINER_KEYS = ("model", "switch_at")
_MICRO_KEYS = ("original_size", "crop_top_left", "target_size", "aesthetic_score", "negative_aesthetic_score")


@dataclass(frozen=True)
class Picture:
    """A given picture: its file, and its (height, width) brought down to multiples of 8."""

    file: ImageFile
    size: tuple[int, int]


@dataclass(frozen=True)
class RefinerChoice:
    """A refiner as the manifest names it: the path of its bundle, where that is written, and where it takes over."""

    model: str
    place: Place
    switch_at: float


def parse_picture(name: str, node: Node, problems: Problems) -> tuple[Picture, ...] | None:
    """The picture file at `node`, relative to the manifest's folder; none for `none`."""
    if is_none(node):
        return ()
    text = parse_text(name, node, problems)
    if text is None:
        return None
    path = Path(node.place.file).parent / text
    try:
        state = path.stat()
        return (_look(path, state.st_mtime_ns, state.st_size),)
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        problems.add(node.place, f"{name} {path} {reason}; paths start at the manifest's folder")
    except _NoPicture as error:
        problems.add(node.place, f"{name} {path} is not a picture that can be read ({error}); save it as PNG or JPEG")
    return None


class _NoPicture(Exception):
    """The file is there and holds no picture."""


@cache
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
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _NoPicture(" ".join(str(error).split())[:100] or type(error).__name__) from None
    digest = hashlib.sha256(content).hexdigest()
    return Picture(ImageFile(digest, path), (max(8, height // 8 * 8), max(8, width // 8 * 8)))


def parse_refiner(node: Node, problems: Problems) -> tuple[RefinerChoice, ...] | None:
    """A refiner's bundle, or {model, switch_at}; none for `none`."""
    if is_none(node):
        return ()
    switch_at: float | None = SWITCH_AT
    named = node
    if isinstance(node, MapNode):
        for key in node.values.keys() - set(_REFINER_KEYS):
            problems.unknown_key(node.keys[key], _REFINER_KEYS, "refiner")
        if "switch_at" in node.values:
            rule = "a number between 0 and 1, the share of the steps that the base runs"
            switch_at = parse_number("switch_at", node.values["switch_at"], problems, 1e-6, 1 - 1e-6, rule=rule)
        if "model" not in node.values:
            problems.add(node.place, "refiner has no model; write {model: bundles/sdxl-refiner, switch_at: 0.8}")
            return None
        named = node.values["model"]
    model = parse_text("refiner", named, problems)
    if model is None or switch_at is None:
        return None
    if not model:
        problems.add(named.place, "refiner is empty; write the path of an SDXL refiner's bundle")
        return None
    return (RefinerChoice(str(Path(named.place.file).parent / model), named.place, switch_at),)


def parse_micro(node: Node, problems: Problems) -> MicroConditioning | None:
    """SDXL's micro-conditioning: sizes as WxH, crop_top_left as [top, left], aesthetic scores."""
    if not isinstance(node, MapNode):
        problems.add(node.place, f"micro_conditioning is {described(node)}; write {{original_size: 1024x1024}}")
        return None
    for key in node.values.keys() - set(_MICRO_KEYS):
        problems.unknown_key(node.keys[key], _MICRO_KEYS, "micro_conditioning")
    given: dict[str, object] = {}
    for key, value in node.values.items():
        if key in ("original_size", "target_size"):
            given[key] = parse_size(value, problems, name=key, multiple=1)
        elif key == "crop_top_left":
            given[key] = _parse_crop(value, problems)
        elif key in _MICRO_KEYS:
            given[key] = parse_number(key, value, problems, 0, 10, rule="a number from 0 to 10")
    if None in given.values():
        return None
    return replace(MicroConditioning(), **given)


def _parse_crop(node: Node, problems: Problems) -> tuple[int, int] | None:
    rule = "a whole number of pixels from 0 to 8192"
    if (
        not isinstance(node, ListNode)
        or len(node.items) != 2
        or not all(isinstance(item, Scalar) for item in node.items)
    ):
        problems.add(node.place, f"crop_top_left is {described(node)}; write it as [top, left], e.g. [0, 0]")
        return None
    top, left = (parse_number("crop_top_left", item, problems, 0, 8192, whole=True, rule=rule) for item in node.items)
    return None if top is None or left is None else (int(top), int(left))


MODE_FIELDS: dict[str, Field] = {
    "guidance_rescale": Field(
        lambda node, problems: parse_number("guidance_rescale", node, problems, 0, 1, rule="a number from 0 to 1"), 0.0
    ),
    "guidance_stop": Field(
        lambda node, problems: parse_number(
            "guidance_stop", node, problems, 0, 1, rule="a fraction of the steps from 0 to 1"
        ),
        1.0,
    ),
    "clip_skip": Field(
        lambda node, problems: parse_number(
            "clip_skip", node, problems, 0, 100, whole=True, rule="a whole number of layers to leave out, 0 for none"
        ),
        0,
    ),
    "eta": Field(lambda node, problems: parse_number("eta", node, problems, 0, 1, rule="a number from 0 to 1"), 0.0),
    "init_image": Field(lambda node, problems: parse_picture("init_image", node, problems), ()),
    "mask_image": Field(lambda node, problems: parse_picture("mask_image", node, problems), ()),
    "strength": Field(
        lambda node, problems: parse_number(
            "strength", node, problems, 1e-6, 1, rule="a number greater than 0, and at most 1"
        )
    ),
    "refiner": Field(parse_refiner, ()),
    "micro_conditioning": Field(parse_micro, MicroConditioning()),
    "prompt_weighting": Field(
        lambda node, problems: parse_choice("prompt_weighting", node, problems, WEIGHTINGS), PLAIN.weighting
    ),
    "long_prompts": Field(
        lambda node, problems: parse_choice("long_prompts", node, problems, LONG_PROMPTS), PLAIN.long_prompts
    ),
}
