"""The fields of a job as JSON Schema: what editors complete and what they can check of a value by itself.

A schema is somewhat blunter than the parsers: it knows no files, no bundle, and no field beside the one it looks at.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import ImageColor

from latentpress.manifest.fields import FIELDS
from latentpress.manifest.loss_steps import LOSS_CAPS, LOSS_ITERATIONS, LOSS_SAMPLES, LOSS_SIZES, LOSS_SPREADS
from latentpress.manifest.losses import LOSS_SCALES
from latentpress.manifest.names import MAX_TEXT
from latentpress.manifest.seeds import MAX_SEED
from latentpress.manifest.values import MAX_JOBS, MAX_SIDE, MAX_STEPS
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.step import METHODS, STEPS
from latentpress.runtime.request import (
    DEFAULT_CAP,
    DEFAULT_ITERATIONS,
    DEFAULT_SAMPLES,
    DEFAULT_SIZE,
    DEFAULT_SPREAD,
)
from latentpress.runtime.sampling.samplers import BASES, SAMPLERS, SPACINGS

Schema = dict[str, Any]

TEXT: Schema = {"type": ["string", "number"], "maxLength": MAX_TEXT}
PATH: Schema = {**TEXT, "minLength": 1}
_NONE: Schema = {"enum": ["none", "off", "no", False]}
RANGE: Schema = {"type": "string", "pattern": r"^[0-9]+\.\.[0-9]+$"}
_SEED: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_SEED}
_COUNT: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_JOBS}

# What each field says, in the words of an editor's tooltip.
SAID: Mapping[str, str] = {
    "prompt": "What to draw: text, with {placeholders} of axes, {red|blue} for all and {~red|blue} for drawn options, "
    "__wildcards__; or {file: prompts.txt}, one prompt a line.",
    "negative_prompt": "What not to draw; written like a prompt. null is none at all, which SDXL tells from the empty text.",
    "seed": "A seed, a range such as 1000..1007, a list of both; -1 or {draw: 4} to have seeds drawn.",
    "size": "Width x height, [width, height] or one side, in pixels; multiples of 8.",
    "sampler": "A sampler; `latentpress samplers` lists them.",
    "steps": "How many steps.",
    "guidance_scale": "The scale of classifier-free guidance, which acts above 1.",
    "loss": "A loss that guides the picture, several of them, or none.",
    "guidance_rescale": "How far the guided prediction is scaled back to the spread of the unguided one.",
    "guidance_stop": "The share of the steps after which guidance is off.",
    "clip_skip": "How many of the last layers of each text encoder to leave out.",
    "eta": "How much noise `ddim` and `tcd` put in again.",
    "timesteps": "Training timesteps of your own, one of each step, falling.",
    "init_image": "The path of a picture to start from, or none.",
    "mask_image": "The path of a mask, white where the picture is to change, or none.",
    "picture_reading": "How given pictures and masks are read.",
    "background": 'What a transparent picture is laid on: a colour, by its CSS name or as "#ff8000" in quotes.',
    "strength": "The share of the steps that are run on the given picture.",
    "refiner": "The bundle of an SDXL refiner, and where it takes over.",
    "micro_conditioning": "SDXL's sizes, crops and aesthetic scores.",
    "prompt_weighting": "The dialect of weights in prompts.",
    "long_prompts": "What becomes of a prompt of more than 75 tokens.",
    "text_cleaning": "How a prompt's characters are cleaned before they become tokens.",
    "priority": "Higher ones are rendered first.",
    "model": "The bundle to render on: `demo`, or a path.",
}


def field_schemas() -> dict[str, Schema]:
    """Each field's schema, null included, with a title, what it says and its default."""
    found: dict[str, Schema] = {}
    for name, field in FIELDS.items():
        value = dict(field.schema or _OTHERS[name])
        said: Schema = {"title": name, "description": SAID[name]}
        if isinstance(field.default, int | float | str):
            said["default"] = field.default
        found[name] = said | {"anyOf": [value, {"type": "null"}]}
    return found


def a_map(properties: Mapping[str, Schema], required: Sequence[str] = ()) -> Schema:
    """A map of these keys, and of notes that begin with x-."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
    }


def or_null(schema: Schema) -> Schema:
    """The same, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def built_in_loss() -> Schema:
    """A loss that latentpress has, or none: where a manifest has no `losses`, there is no other."""
    maps: list[Schema] = []
    for name, loss in LOSSES.items():
        own = loss.params.model_json_schema().get("properties", {})
        own = {key: or_null(_without_title(schema)) for key, schema in own.items()}
        said = f"{loss.does}; {loss.formula}" if loss.does else loss.source
        head: Schema = {"name": {"const": name, "description": said}, "scale": _loss_scale(loss.both_ways)}
        files = dict.fromkeys(loss.files, TEXT)
        maps.append(a_map(head | _common() | files | own, ["name", *loss.needed]))
    return {
        "anyOf": [
            {"enum": [name for name, loss in LOSSES.items() if not loss.files]},
            _NONE,
            *maps,
            {"type": "object", "properties": {"name": _NONE}, "required": ["name"]},
        ]
    }


def _common() -> Schema:
    share: Schema = or_null({"type": "number", "minimum": 0, "maximum": 1})
    return {
        "every": or_null({"type": "integer", "minimum": 1, "maximum": MAX_STEPS, "default": 5}),
        "start": share,
        "stop": share,
        "mask": {"anyOf": [_NONE, TEXT, {"type": "null"}], "description": "A picture, white where the loss acts."},
        "step": or_null({"enum": [*STEPS], "description": "How a gradient becomes a move of the picture."}),
        "cap": or_null({"type": "number", "minimum": LOSS_CAPS[0], "maximum": LOSS_CAPS[1], "default": DEFAULT_CAP}),
        "size": or_null(
            {"type": "number", "minimum": LOSS_SIZES[0], "maximum": LOSS_SIZES[1], "default": DEFAULT_SIZE}
        ),
        "warm_up": share,
        "clamp": or_null({"type": "boolean", "default": False}),
        "method": or_null(
            {"enum": [*METHODS], "description": "Where in the picture the gradient is taken, and how often."}
        ),
        "iterations": _whole(LOSS_ITERATIONS, DEFAULT_ITERATIONS),
        "samples": _whole(LOSS_SAMPLES, DEFAULT_SAMPLES),
        "spread": or_null(
            {"type": "number", "minimum": LOSS_SPREADS[0], "maximum": LOSS_SPREADS[1], "default": DEFAULT_SPREAD}
        ),
    }


def _whole(bounds: tuple[int, int], default: int) -> Schema:
    return or_null({"type": "integer", "minimum": bounds[0], "maximum": bounds[1], "default": default})


def _losses() -> Schema:
    """Built-in ones and others: which names there are, and which parameters these take, no schema sees."""
    known = {"$ref": "#/$defs/built_in_loss"}
    other: Schema = {"type": "string", "pattern": r"^[^\W\d][\w-]*$", "not": {"enum": [*LOSSES, "none", "off", "no"]}}
    own: Schema = {
        "type": "object",
        "properties": {"name": other, "scale": _loss_scale(True)} | _common(),
        "required": ["name"],
    }
    one: Schema = {"anyOf": [known, other, own]}
    return {"anyOf": [*one["anyOf"], {"type": "array", "items": one}]}


def _loss_scale(both_ways: bool) -> Schema:
    low, high = LOSS_SCALES
    above: Schema = {"type": "number", "minimum": low, "maximum": high, "default": 200}
    return {"anyOf": [above, *([{**above, "minimum": -high, "maximum": -low}] if both_ways else []), {"type": "null"}]}


def _without_title(schema: Mapping[str, Any]) -> Schema:
    return {key: value for key, value in schema.items() if key != "title"}


def _samplers() -> Schema:
    spaced = [f"{name}_{spacing}" for name in SAMPLERS for spacing in SPACINGS if _base(name).spaced]
    labels = [sampler.label for sampler in BASES.values()]
    karras = [f"{sampler.label} Karras" for sampler in BASES.values() if sampler.sigmas]
    return {"enum": list(dict.fromkeys([*SAMPLERS, *spaced, *labels, *karras]))}


def _base(name: str) -> Any:
    return next(BASES[base] for base in sorted(BASES, key=len, reverse=True) if name.startswith(base))


# 8 to 8192 in steps of 8, as digits: what the last three say, behind an even or an odd number of hundreds.
_EIGHTS = "(?!0+([^0-9]|$))0*(8|{}|{})".format(
    "([1-7]?[02468]|80)?(" + "|".join(f"{number:02}" for number in range(0, 100, 8)) + ")",
    "([1-7]?[13579]|81)(" + "|".join(f"{number:02}" for number in range(4, 100, 8)) + ")",
)


def _sizes(multiple: int) -> Schema:
    side: Schema = {"type": "integer", "minimum": multiple, "maximum": MAX_SIDE, "multipleOf": multiple}
    number = _EIGHTS if multiple == 8 else "[0-9]{1,4}"
    text: Schema = {"type": "string", "pattern": rf"^\s*{number}\s*[xX×]\s*{number}\s*$"}
    return {"anyOf": [text, side, {"type": "array", "items": side, "minItems": 2, "maxItems": 2}]}


_FILE = a_map({"file": PATH, "whole": {"type": ["boolean", "null"]}}, ["file"])
_PROMPT: Schema = {"anyOf": [TEXT, _FILE]}
_SIDES = {
    name: or_null(_sizes(1))
    for name in ("original_size", "target_size", "negative_original_size", "negative_target_size")
}
_CORNER: Schema = {
    "type": "array",
    "items": {"type": "integer", "minimum": 0, "maximum": MAX_SIDE},
    "minItems": 2,
    "maxItems": 2,
}
_CORNERS = {name: or_null(_CORNER) for name in ("crop_top_left", "negative_crop_top_left")}
_SCORE: Schema = or_null({"type": "number", "minimum": 0, "maximum": 10})
_SWITCH: Schema = {"type": "number", "minimum": 1e-6, "maximum": 1 - 1e-6, "default": 0.8}
_ALONG: Schema = {"anyOf": [TEXT, {"const": False}, {"type": "array", "items": TEXT}, {"type": "null"}]}

# Of fields whose kind does not say it.
_OTHERS: Mapping[str, Schema] = {
    "prompt": _PROMPT,
    "negative_prompt": _PROMPT,
    "seed": {
        "anyOf": [
            {**_SEED, "minimum": -1},
            RANGE,
            {"type": "array", "items": {"anyOf": [_SEED, RANGE]}, "minItems": 1, "uniqueItems": True},
            a_map({"draw": _COUNT, "along": _ALONG}, ["draw"]),
        ]
    },
    "size": _sizes(8),
    "sampler": _samplers(),
    "loss": _losses(),
    "timesteps": {
        "type": "array",
        "items": {"type": "integer", "minimum": 0},
        "minItems": 1,
        "maxItems": MAX_STEPS,
        "uniqueItems": True,
    },
    "background": {
        "anyOf": [
            {"enum": sorted(ImageColor.colormap)},
            {"type": "string", "pattern": "^#([0-9a-fA-F]{3}[fF]?|[0-9a-fA-F]{6}([fF]{2})?)$"},
            # A colour in numbers, and a name in other letters, are the parser's to judge.
            {"type": "string", "pattern": r"^([A-Za-z]*[A-Z][A-Za-z]*|(rgba?|hs[lvb])\(.*\))$"},
        ]
    },
    "strength": {"type": "number", "minimum": 1e-6, "maximum": 1},
    "refiner": {"anyOf": [PATH, {"const": False}, a_map({"model": PATH, "switch_at": or_null(_SWITCH)}, ["model"])]},
    "micro_conditioning": a_map(_SIDES | _CORNERS | {"aesthetic_score": _SCORE, "negative_aesthetic_score": _SCORE}),
    "model": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "number"}]},
}
