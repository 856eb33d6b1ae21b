"""What a plan says of its given pictures: what about them is unusual, and masks that redraw nothing or everything."""

from collections.abc import Iterator

from latentpress.manifest.given import Picture, facts_of_mask, picture_of
from latentpress.manifest.shape import Draft
from latentpress.runtime.facts import Bundles
from latentpress.runtime.pictures.reading import DIFFUSERS, SHOWN
from latentpress.runtime.request import RenderRequest

# How much one side's share may differ before a mask is called stretched: what rounding to whole pixels makes of it.
_ROUNDING = 0.02


def picture_warnings(draft: Draft, request: RenderRequest, bundles: Bundles) -> Iterator[str]:
    """`file:line:col: warning: ...` for each thing about the given pictures of `draft` that people should know."""
    for name in ("init_image", "mask_image"):
        picture = picture_of(draft.values, name)
        if picture is None:
            continue
        said = _notes(picture, request)
        if name == "mask_image":
            said += _of_mask(draft, request, bundles)
        yield from (f"{draft.places[name]}: warning: {name} {picture.file.path} {text}" for text in said)


def _notes(picture: Picture, request: RenderRequest) -> list[str]:
    if request.picture_reading == DIFFUSERS:
        return ["is read as by diffusers, which clips greys of more than 8 bits and drops transparency"] * bool(
            not picture.plain
        )
    return [note.replace("{background}", request.background) for note in picture.notes]


def _of_mask(draft: Draft, request: RenderRequest, bundles: Bundles) -> list[str]:
    found: list[str] = []
    facts, mask, picture = (
        facts_of_mask(draft.values, bundles),
        picture_of(draft.values, "mask_image"),
        picture_of(draft.values, "init_image"),
    )
    if facts is not None:
        chosen = facts.chosen[request.picture_reading]
        # An inpainting model cannot be without a mask.
        if chosen == 1 and not bundles[draft.values["model"]].inpainting:
            found.append("is white in every latent, so all of the picture is redrawn; leave mask_image out for that")
        if chosen == 0:
            found.append(
                "chooses no latent as diffusers reads it, so nothing is redrawn; leave picture_reading out, or paint wider"
                if facts.chosen[SHOWN]
                else "is black everywhere, or too dark to count, so nothing is redrawn; what is to change must be white"
            )
    if mask is not None and picture is not None:
        (height, width), (tall, wide) = mask.own_size, picture.own_size
        if abs(height * wide / (width * tall) - 1) > _ROUNDING:
            found.append(f"is {width}x{height} and init_image {wide}x{tall}, so it is stretched; give both one shape")
    return found
