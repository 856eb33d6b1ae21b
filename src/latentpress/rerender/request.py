"""The request that a picture's metadata asks for, read by the table of fields and checked as a manifest's would be."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from latentpress.batch.plan.prompts import PromptChecks
from latentpress.errors import ManifestError, UsageError, shown
from latentpress.manifest.field import Reader
from latentpress.manifest.fields import FIELDS, request_of
from latentpress.manifest.nodes import Place, Problems
from latentpress.manifest.plain_text import Line
from latentpress.manifest.shape import Draft, JobNode, Shape
from latentpress.pictures import node_of
from latentpress.rerender.codes import known_losses
from latentpress.rerender.given import IMAGES, loss_picture
from latentpress.rerender.inputs import Inputs
from latentpress.rerender.original import Original
from latentpress.runtime.facts import Bundles
from latentpress.runtime.request import RenderRequest

# What every request says.
_ALWAYS = ("prompt", "sampler", "steps", "guidance_scale")
_ATTRIBUTES = {one.name for one in fields(RenderRequest)}
# Attributes that no field is called after.
_OTHERWISE = (
    "height",
    "width",
    "losses",
    "micro",
    "seed",
    "timesteps",
    "strength",
    "init_image",
    "mask_image",
    "refiner",
)


def request_again(original: Original, inputs: Inputs, bundles: Bundles) -> RenderRequest:
    """The request of `original` with its given pictures and its refiner from `inputs`; `bundles` are those of `inputs`.

    Raises UsageError, a line for each thing in the metadata that cannot be rendered.
    """
    place, problems = Place(str(original.path), 1, 1), Problems()
    if unknown := sorted(set(original.request) - _ATTRIBUTES):
        raise UsageError(f"{original.path}: its metadata has {shown(unknown[0])}; use the latentpress that made it")
    try:
        written = written_fields(original.request, inputs)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{original.path}: its metadata is damaged ({error!r:.80}); give the picture as it was saved"
        ) from None
    reader = Reader(problems, known_losses(inputs.losses))
    nodes = {name: node_of(value, f"{original.path}: {name}") for name, value in written.items()}
    model = inputs.base.name
    try:
        values: dict[str, Any] = {name: field.default for name, field in FIELDS.items()}
        values |= {name: FIELDS[name].read(node, reader) for name, node in nodes.items()} | {"model": model}
        problems.raise_if_any()
        line = Line(values["prompt"], place)
        draft = Draft(JobNode("1", nodes, place), Shape(values, {}), line.text, {}, {}, moved={"prompt": line})
        PromptChecks(bundles, problems).check(draft, bundles[model])
        problems.raise_if_any()
        request = request_of({**values, "seed": original.request["seed"]}, bundles)
        if (refused := bundles[model].refusal(request)) is not None:
            problems.add(place, refused[1])
        if request.timesteps and len(request.timesteps) != request.steps:
            problems.add(
                place, f"timesteps are {len(request.timesteps)} and steps {request.steps}; both must be as many"
            )
        problems.raise_if_any()
    except ManifestError as error:
        # They have no place but the picture, or the keywords that stand for its fields.
        lines = [one.partition(":1:1: ")[2] or one for one in error.problems]
        raise UsageError(
            "\n".join(f"{original.path}: its metadata cannot be rendered: {one}" for one in lines)
        ) from None
    return request


def written_fields(request: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """`request` as a manifest would have it, but for its seed and model: field -> value.

    Raises KeyError, TypeError, ValueError or AttributeError for what is no request.
    """
    found = {name: value for name, value in request.items() if name not in _OTHERWISE and value is not None}
    if absent := [name for name in _ALWAYS if name not in found]:
        raise KeyError(absent[0])
    found["size"] = [request["width"], request["height"]]
    found["loss"] = [
        {
            **{key: value for key, value in loss.items() if key not in ("params", "files", "code")},
            **loss.get("params", {}),
            **{name: inputs.pictures[loss_picture(place, name)].path for name in loss.get("files", {})},
        }
        for place, loss in enumerate(request["losses"])
    ]
    if request.get("timesteps"):
        found["timesteps"] = request["timesteps"]
    found |= {name: picture.path for name, picture in inputs.pictures.items() if name in IMAGES}
    if request.get("init_image") is not None:
        found["strength"] = request.get("strength", 1.0)
    if inputs.refiner is not None:
        found["refiner"] = {"model": inputs.refiner.name, "switch_at": request["refiner"]["switch_at"]}
    if request.get("micro") is not None:
        found["micro_conditioning"] = {
            key: f"{value[1]}x{value[0]}" if key.endswith("size") else value
            for key, value in request["micro"].items()
            if value is not None
        }
    return found
