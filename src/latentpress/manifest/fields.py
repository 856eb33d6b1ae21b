"""The table of a job's fields. To add one: an attribute of RenderRequest, an entry here, and what it does.

Messages list the fields in this order.
"""

from pathlib import Path

from latentpress.errors import UsageError
from latentpress.manifest.field import Field, Reader, Values
from latentpress.manifest.given import (
    parse_background,
    settled_background,
    settled_mask,
    settled_picture,
    settled_reading,
    size_of,
    strength,
)
from latentpress.manifest.infotext import (
    loss_parameters,
    micro_parameters,
    model_parameters,
    refiner_parameters,
    sampler_parameters,
    seed_parameters,
    weighting_parameters,
)
from latentpress.manifest.kinds import choice_field, number_field, pair, picture_field, prompt_field, whole_field
from latentpress.manifest.losses import loss_text, parse_losses
from latentpress.manifest.nodes import Node
from latentpress.manifest.sdxl import parse_micro, parse_refiner
from latentpress.manifest.seeds import parse_seeds
from latentpress.manifest.timesteps import parse_timesteps, timesteps_text
from latentpress.manifest.values import MAX_STEPS, parse_number, parse_size, parse_text
from latentpress.runtime.facts import BundleFacts, Bundles
from latentpress.runtime.pictures.reading import READINGS, SHOWN, WHITE
from latentpress.runtime.prompts import CLEANINGS, LONG_PROMPTS, PLAIN, WEIGHTINGS
from latentpress.runtime.request import MicroConditioning, Refiner, RenderRequest
from latentpress.runtime.sampling.samplers import canonical_sampler

DEMO = "demo"
# The fields that are prompts.
PROMPTS = ("prompt", "negative_prompt")


def _parse_sampler(node: Node, reader: Reader) -> str | None:
    """A sampler's canonical name."""
    text = parse_text("sampler", node, reader.problems)
    if text is None:
        return None
    try:
        return canonical_sampler(text)
    except UsageError as error:
        reader.problems.add(node.place, str(error))
        return None


def parse_model(node: Node, reader: Reader) -> str | None:
    """`demo`, or the path of a bundle, relative to the manifest's folder."""
    model = parse_text("model", node, reader.problems)
    if model == "":
        reader.problems.add(node.place, "model is empty; write `demo`, or the path of a bundle")
    if not model or model == DEMO:
        return model or None
    path = str(Path(node.place.file).parent / model)
    return path if path != DEMO else f"./{path}"  # a folder of that name


def model_name(model: str) -> str:
    """What a model is called in names, labels and prompts: its folder's name."""
    return model.rstrip("/").rpartition("/")[2] or model


def _settle_negative(values: Values, bundles: Bundles) -> tuple[str | None]:
    negative = values["negative_prompt"]
    return (negative if bundles[values["model"]].zeros_for_no_negative else negative or "",)


def _size_text(values: Values) -> str:
    size = size_of(values)
    return "" if size is None else f"{size[1]}x{size[0]}"


def _settle_size(values: Values, bundles: Bundles) -> tuple[int, int]:
    return size_of(values) or bundles[values["model"]].default_size


def _settle_refiner(values: Values, bundles: Bundles) -> tuple[Refiner | None]:
    choice = values["refiner"][0] if values["refiner"] else None
    return (choice and Refiner(bundles[choice.model].hash, choice.switch_at),)


_UNIT = "a number from 0 to 1"

FIELDS: dict[str, Field] = {
    "prompt": prompt_field("prompt", since=1),
    "negative_prompt": prompt_field(
        "negative_prompt",
        text=lambda values: "none" if values["negative_prompt"] is None else values["negative_prompt"],
        settle=_settle_negative,
        since=1,
    ),
    "seed": Field(parse_seeds, (0,), parameters=seed_parameters, since=1),
    "size": Field(
        lambda node, reader: parse_size(node, reader.problems),
        text=_size_text,
        attributes=("height", "width"),
        settle=_settle_size,
        parameters=pair("Size", lambda request: f"{request.width}x{request.height}"),
        since=1,
    ),
    "sampler": Field(_parse_sampler, "euler", parameters=sampler_parameters, since=1),
    "steps": whole_field(
        *("steps", 1, MAX_STEPS, f"a whole number from 1 to {MAX_STEPS}", 30),
        parameters=pair("Steps", lambda request: str(request.steps)),
        since=1,
    ),
    "guidance_scale": number_field(
        *("guidance_scale", 0, 1000, "a number from 0 to 1000", 7.5),
        parameters=pair("CFG scale", lambda request: f"{request.guidance_scale:g}"),
        since=1,
    ),
    "loss": Field(
        parse_losses,
        (),
        text=lambda values: loss_text(values["loss"]),
        attributes=("losses",),
        parameters=loss_parameters,
        since=1,
    ),
    "guidance_rescale": number_field(
        *("guidance_rescale", 0, 1, _UNIT, 0.0),
        parameters=pair("CFG rescale", lambda r: f"{r.guidance_rescale:g}" if r.guidance_rescale else None),
    ),
    "guidance_stop": number_field(
        *("guidance_stop", 0, 1, "a fraction of the steps from 0 to 1", 1.0),
        parameters=pair("CFG stop", lambda r: f"{r.guidance_stop:g}" if r.guidance_stop < 1 else None),
    ),
    "clip_skip": whole_field(
        *("clip_skip", 0, 100, "a whole number of layers to leave out, from 0 to 100", 0),
        # A1111 counts the layer it stops at, from 1; the others are keys of its own and of its extensions.
        parameters=pair("Clip skip", lambda r: str(r.clip_skip + 1) if r.clip_skip else None),
    ),
    "eta": number_field(
        *("eta", 0, 1, _UNIT, 0.0), parameters=pair("Eta DDIM", lambda r: f"{r.eta:g}" if r.eta else None)
    ),
    "timesteps": Field(
        parse_timesteps,
        (),
        text=lambda values: timesteps_text(values["timesteps"]),
        parameters=pair("Timesteps", lambda r: timesteps_text(r.timesteps) if r.timesteps else None),
    ),
    "init_image": picture_field("init_image", "Init image hash", settled_picture),
    "mask_image": picture_field("mask_image", "Mask image hash", settled_mask),
    "picture_reading": choice_field(
        *("picture_reading", READINGS, SHOWN),
        settle=settled_reading,
        parameters=pair("Picture reading", lambda r: r.picture_reading if r.picture_reading != SHOWN else None),
    ),
    "background": Field(
        parse_background,
        "white",
        settle=settled_background,
        parameters=pair("Background", lambda r: r.background if r.background != WHITE else None),
    ),
    "strength": Field(
        lambda node, reader: parse_number(
            "strength", node, reader.problems, 1e-6, 1, rule="a number above 0, from 0.000001 to 1"
        ),
        text=lambda values: f"{strength(values):g}",
        settle=lambda values, bundles: (strength(values),),
        parameters=pair("Denoising strength", lambda r: f"{r.strength:g}" if r.init_image else None),
    ),
    "refiner": Field(
        parse_refiner,
        (),
        text=lambda values: Path(values["refiner"][0].model).name if values["refiner"] else "none",
        settle=_settle_refiner,
        parameters=refiner_parameters,
    ),
    "micro_conditioning": Field(
        parse_micro,
        MicroConditioning(),
        text=lambda values: "",
        attributes=("micro",),
        parameters=micro_parameters,
    ),
    "prompt_weighting": choice_field("prompt_weighting", WEIGHTINGS, PLAIN.weighting, parameters=weighting_parameters),
    "long_prompts": choice_field(
        *("long_prompts", LONG_PROMPTS, PLAIN.long_prompts),
        # A1111 has no key for what it always does.
        parameters=pair("Long prompts", lambda r: r.long_prompts if r.long_prompts != "truncate" else None),
    ),
    "text_cleaning": choice_field(
        *("text_cleaning", CLEANINGS, PLAIN.cleaning),
        # A1111 has no key for it: its text encoders have their own ways.
        parameters=pair("Text cleaning", lambda r: r.text_cleaning if r.text_cleaning != "basic" else None),
    ),
    "priority": whole_field(
        *("priority", -1000, 1000, "a whole number from -1000 to 1000, of which higher ones are rendered first", 0),
        attributes=(),  # when a picture is made is no part of it
    ),
    "model": Field(
        parse_model,
        text=lambda values: model_name(values["model"]),
        attributes=(),  # the bundle is hashed as a whole
        parameters=model_parameters,
    ),
}


# How fields come to attributes: under their own name, under another one, or settled with the bundle.
_DIRECT = [name for name, field in FIELDS.items() if field.attributes is None and field.settle is None]
_RENAMED = [(n, f.attributes[0]) for n, f in FIELDS.items() if f.attributes and f.settle is None]
_SETTLED = [(f.attributes or (n,), f.settle) for n, f in FIELDS.items() if f.settle is not None]


def label(name: str, values: Values) -> str:
    """How labels, file names and placeholders show the field `name` of a job's `values`."""
    text = FIELDS[name].text
    return text(values) if text else str(values[name])


def request_of(values: Values, bundles: Bundles) -> RenderRequest:
    """The request that a job's `values`, one of each field, come to on `bundles`."""
    attributes = {name: values[name] for name in _DIRECT}
    for names, settle in _SETTLED:
        attributes |= zip(names, settle(values, bundles), strict=True)
    for name, attribute in _RENAMED:
        attributes[attribute] = values[name]
    return RenderRequest(**attributes)


def attributes_of(name: str) -> tuple[str, ...]:
    """The attributes of RenderRequest that the field `name` decides."""
    given = FIELDS[name].attributes
    return (name,) if given is None else given


def parameters_of(request: RenderRequest, facts: BundleFacts, bundles: Bundles) -> dict[str, str]:
    """The `Key: value` pairs of a request on the bundle of `facts`, as A1111 calls them, in the order of the table."""
    pairs: dict[str, str] = {}
    for field in FIELDS.values():
        if field.parameters:
            pairs |= field.parameters(request, facts, bundles)
    return pairs
