"""Which requests the rules of `runtime.rules` about prompts touch, and which prompts of a request count."""

from collections.abc import Callable

from latentpress.runtime.prompts import Reading
from latentpress.runtime.prompts.cleaning import newer
from latentpress.runtime.request import RenderRequest


def unassigned_characters(request: RenderRequest) -> bool:
    """Whether a prompt has a character that Unicode 14 does not have: it was dropped, and is kept."""
    return request.text_cleaning == "basic" and any(map(newer, prompts_of(request)))


def concept_case(request: RenderRequest, found_otherwise: Callable[[str], bool]) -> bool:
    """Whether A1111's dialect finds a concept by the tokens of its name: it was plain text where its case differed."""
    asked = request.prompt_weighting == "a1111" and request.text_cleaning == "basic"
    return asked and any(map(found_otherwise, prompts_of(request)))


def prompts_of(request: RenderRequest) -> tuple[str, ...]:
    """The prompts that decide pixels: the negative one where there is classifier-free guidance."""
    negative = request.negative_prompt if request.guidance_scale > 1 else None
    return (request.prompt, negative) if negative else (request.prompt,)


def reading_of(request: RenderRequest) -> Reading:
    """How the request's prompts are read."""
    return Reading(request.prompt_weighting, request.long_prompts, request.text_cleaning)
