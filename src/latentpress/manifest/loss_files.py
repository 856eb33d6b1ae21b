"""The files that a loss's map names, hashed when they are read: pictures, its mask, the folder of a CLIP model."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from latentpress.errors import UsageError
from latentpress.manifest.field import Reader
from latentpress.manifest.given import parse_picture
from latentpress.manifest.inputs import note_file
from latentpress.manifest.nodes import Node, Scalar
from latentpress.manifest.values import is_none, parse_text
from latentpress.runtime.guidance.clip_files import clip_files, clip_sha256
from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.pictures.masks import all_black
from latentpress.runtime.request import MASK, ImageFile

# A matrix names the same model again and again.
_MODELS_KEPT = 16
_EXAMPLES = {"picture": "photo.png", "model": "models/clip"}


def parse_loss_files(
    loss: Loss, name: Scalar, values: Mapping[str, Node], reader: Reader
) -> Mapping[str, ImageFile] | None:
    """Each under the name of its parameter, with the mask under MASK; None for a mistake, which is reported.

    name: where the loss is named; values: what its map says, and is given.
    """
    found: dict[str, ImageFile] = {}
    for key in loss.files:
        node = values.get(key)
        if node is None or is_none(node):
            if key not in loss.needed:
                continue
            place = name.place if node is None else node.place
            what = f"write {{name: {loss.name}, {key}: {_EXAMPLES[key]}}}, relative to the manifest's folder"
            reader.problems.add(place, f"loss {loss.name} has no {key}; {what}")
            return None
        called = f"{key} of loss {loss.name}"
        file = _folder(called, node, reader) if key in loss.folders else _picture(called, node, reader)
        if file is None:
            return None
        found[key] = file
    chosen = [key for key in loss.one_of if key in found or (key not in loss.files and _said(values.get(key)))]
    if loss.one_of and len(chosen) != 1:
        has = " and ".join(chosen) if chosen else f"neither {' nor '.join(loss.one_of)}"
        place = values[chosen[-1]].place if chosen else name.place
        reader.problems.add(place, f"loss {loss.name} has {has}; give one of them")
        return None
    if MASK in values:
        if (mask := _mask(f"mask of loss {loss.name}", values[MASK], reader)) is None:
            return None
        found |= mask
    return found


def _said(node: Node | None) -> bool:
    return isinstance(node, Scalar) and node.text.strip() != ""


def _picture(name: str, node: Node, reader: Reader) -> ImageFile | None:
    picture = parse_picture(name, node, reader)
    return replace(picture[0].file, otherwise=()) if picture else None


def _mask(name: str, node: Node, reader: Reader) -> Mapping[str, ImageFile] | None:
    """The mask of a loss under its name; none for `none`."""
    if is_none(node):
        return {}
    if (file := _picture(name, node, reader)) is None:
        return None
    try:
        if not all_black(file):
            return {MASK: file}
        problem = f"{name} {file.path} is black all over; make it white where the loss shall act"
    except UsageError as error:  # it has a picture's head alone
        problem = f"{name} {error}"
    reader.problems.add(node.place, problem)
    return None


def _folder(name: str, node: Node, reader: Reader) -> ImageFile | None:
    """The folder of a CLIP model, with the hash of what is in it."""
    if (text := parse_text(name, node, reader.problems)) is None:
        return None
    folder = Path(node.place.file).parent / text
    try:
        files = clip_files(folder)
        for path in files:
            note_file(path)
        stamps = tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in files)
        return ImageFile(_sha256(folder, stamps), folder)
    except (UsageError, OSError) as error:
        reader.problems.add(node.place, f"{name} {error}")
        return None


@lru_cache(_MODELS_KEPT)
def _sha256(folder: Path, stamps: tuple[tuple[int, int], ...]) -> str:
    """Of a model whose files have these times and sizes: hashed once, for they are large."""
    return clip_sha256(folder)
