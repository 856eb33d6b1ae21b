"""The forms of concept files found in the wild, told apart by their keys: what a file's content teaches, and its name."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from latentpress.errors import ConceptError, shown
from latentpress.export.reading.concept_content import BUNDLED, HOW, MAX_KEYS, other_kind

# What SDXL's concept files call the two encoders (A1111 and kohya; diffusers' pivotal tuning) -> what bundles call them.
ENCODERS = {
    "clip_l": "text_encoder",
    "clip_g": "text_encoder_2",
    "text_encoders_0": "text_encoder",
    "text_encoders_1": "text_encoder_2",
}
# Keys that stand where a token could: kohya's, OneTrainer's, and what textual inversion's first code called every concept.
_NO_TOKENS = ("emb_params", "emp_params", "*")
# What files for models with a T5 text encoder call it, and how wide it is.
_T5 = ("t5", "t5xxl", "t5_xxl", "t5_out")
T5_WIDTH = 4096
T5 = (
    "a concept for Flux or Stable Diffusion 3, whose text encoder is T5; "
    "use one trained for Stable Diffusion 1, 2 or SDXL, whichever the bundle is of"
)
_A1111 = "string_to_param"


@dataclass(frozen=True)
class Found:
    """A concept in a file.

    tensors: text encoder ("" for a lone tensor) -> what the file holds for it; token: what it is called where nobody asks
    for another name, None for what its file is called; notes: what a person should know of how it was read.
    """

    tensors: dict[str, Any]
    token: Any = None
    notes: tuple[str, ...] = field(default=())


def concepts_in(path: Path, content: Any, picture: bool) -> list[Found]:
    """The concepts that `content`, of the file at `path`, teaches: one, or those in a LoRA. Raises ConceptError.

    picture: it lay in a picture, the one kind of file that A1111 calls by the name inside.
    """
    if isinstance(content, np.ndarray):
        return [Found({"": content})]
    if not isinstance(content, dict):
        raise ConceptError(f"{path}: holds a {type(content).__name__}, not a tensor; {HOW}")
    named: dict[Any, Any] = content
    bundled: dict[str, dict[Any, Any]] = {}
    for key, tensor in named.items():
        if isinstance(key, str) and key.startswith(BUNDLED):
            name, _, inner = key.removeprefix(BUNDLED).partition(".")
            if inner.startswith(_A1111 + "."):
                inner, tensor = _A1111, {inner.removeprefix(_A1111 + "."): tensor}
            bundled.setdefault(name, {})[inner] = tensor
    if bundled:
        return [replace(_pick(path, inner, picture), token=name) for name, inner in bundled.items()]
    return [_pick(path, named, picture)]


def choose(path: Path, found: Sequence[Found], token: str | None) -> list[Found]:
    """Those of `found` that are meant: all without `token`, else the only one, or the one of that name."""
    if token is None or len(found) == 1:
        return list(found)
    chosen = [each for each in found if each.token == token]
    if not chosen:
        names = ", ".join(str(each.token)[:40] for each in found)
        raise ConceptError(f"{path}: holds {len(found)} concepts, none called {shown(token)}; ask for one of: {names}")
    return chosen


def _pick(path: Path, named: dict[Any, Any], picture: bool) -> Found:
    keys = [key for key in named if isinstance(key, str)]
    if any(key in _T5 for key in keys):
        raise ConceptError(f"{path}: {T5}")
    if _A1111 not in named and (what := other_kind(keys)):
        raise ConceptError(f"{path}: {what}")
    if len(named) > MAX_KEYS:
        raise ConceptError(f"{path}: {len(named)} keys; {HOW}: is this a whole model?")
    if _A1111 in named:  # A1111's .pt
        params, name = named[_A1111], named.get("name")
        if not isinstance(params, dict) or len(params) != 1:  # pyright: ignore[reportUnknownArgumentType]
            raise ConceptError(f"{path}: string_to_param without one tensor; {HOW}")
        tensors = {"": next(iter(params.values()))}  # pyright: ignore[reportUnknownVariableType]
        inner = name.strip() if isinstance(name, str) else ""
        if picture and inner:
            return Found(tensors, inner)
        return Found(tensors, notes=(f"it calls itself {shown(inner)}",) if inner not in ("", path.stem) else ())
    used = [key for key in named if key in ENCODERS]
    # A1111 and ComfyUI take the two they know and leave others; OneTrainer's _out are vectors for the encoders' output.
    beside = [str(key) for key in named if key not in ENCODERS]
    if used and ({"clip_l", "clip_g"} <= named.keys() or all(key.endswith("_out") for key in beside)):
        tensors = {ENCODERS[key]: named[key] for key in used}
        if len(tensors) == len(used):
            return Found(tensors, notes=(f"without its {', '.join(sorted(beside))}",) if beside else ())
    if len(named) != 1:
        listed = ", ".join(sorted(str(key) for key in named)[:5])
        raise ConceptError(f"{path}: {len(named)} keys ({listed}); {HOW}")
    key, tensor = next(iter(named.items()))
    return Found({"": tensor}, None if key in _NO_TOKENS else key)


# Width -> what a concept of it was trained for.
_WIDTHS = {
    768: "concepts for Stable Diffusion 1 are",
    1024: "concepts for Stable Diffusion 2 are",
    1280: "the vectors for SDXL's second text encoder are",
}


def as_wide_as(width: int) -> str:
    """ ", as concepts for ... are" for a width that one family has, else nothing."""
    return f", as {_WIDTHS[width]}" if width in _WIDTHS else ""
