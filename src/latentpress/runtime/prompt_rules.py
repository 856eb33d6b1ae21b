"""Which texts a request's prompts are, and which requests the rules of `runtime.rules` about prompts touch."""

import re
from collections.abc import Callable

from latentpress.runtime.prompts import Reading
from latentpress.runtime.prompts.cleaning import newer
from latentpress.runtime.prompts.editing import Schedule, schedule
from latentpress.runtime.request import RenderRequest, first_step
from latentpress.runtime.sampling.samplers import parse_sampler

# What was refused before prompts could be edited: every other edit was drawn as letters.
_REFUSED = re.compile(r"(?<!\\)\[[^\[\]]*(?::\s*(?:\d+\.?\d*|\.\d+)\s*|\|[^\[\]]*)\]")


def calls_of(sampler: str, steps: int) -> int:
    """The UNet calls that A1111 reckons a run with: two for each step of a two-call sampler, else one."""
    return steps * parse_sampler(sampler).base.order


def schedule_of(request: RenderRequest, prompt: str) -> Schedule:
    """The texts that a prompt of `request` is, call by call; only A1111's dialect edits prompts."""
    if request.prompt_weighting != "a1111":
        return ((request.steps, prompt),)
    return schedule(prompt, calls_of(request.sampler, request.steps))


def texts_of(request: RenderRequest, *, negative: bool = True) -> tuple[str, ...]:
    """The different texts that the prompts are which decide pixels: the negative one where there is guidance.

    negative: False where the model has no use for one.
    """
    prompts = _prompts(request) if negative else (request.prompt,)
    return tuple(dict.fromkeys(text for prompt in prompts for _, text in schedule_of(request, prompt)))


def texts_drawn(request: RenderRequest) -> tuple[str, ...]:
    """Those of `texts_of` that a call of the run has: with a given picture the later ones may never come."""
    # A refiner may repeat a call.
    calls = calls_of(request.sampler, request.steps - first_step(request)) + (request.refiner is not None)
    drawn: list[str] = []
    for prompt in _prompts(request):
        begins = 0
        for ends, text in schedule_of(request, prompt):
            if begins < calls:
                drawn.append(text)
            begins = ends + 1  # a text is for the call of its end too (`Edited.at`)
    return tuple(dict.fromkeys(drawn))


def reading_of(request: RenderRequest) -> Reading:
    """How the request's prompts are read."""
    return Reading(request.prompt_weighting, request.long_prompts, request.text_cleaning)


def unassigned_characters(request: RenderRequest) -> bool:
    """Whether a prompt has a character that Unicode 14 does not have: it was dropped, and is kept."""
    return request.text_cleaning == "basic" and any(map(newer, _prompts(request)))


def alike(prompt: str, reading: Reading) -> bool | None:
    """Equal for prompts that the same rules below touch; None where A1111's dialect must be read to tell."""
    return None if reading.weighting == "a1111" else newer(prompt)


def concept_case(request: RenderRequest, found_otherwise: Callable[[str], bool]) -> bool:
    """Whether A1111's dialect finds a concept by the tokens of its name: it was plain text where its case differed."""
    asked = request.prompt_weighting == "a1111" and request.text_cleaning == "basic"
    return asked and any(map(found_otherwise, texts_of(request)))


def prompt_editing(request: RenderRequest) -> bool:
    """Whether a prompt is edited that was drawn as letters: brackets within hid the edit."""
    return request.prompt_weighting == "a1111" and any(
        not _REFUSED.search(prompt) and schedule_of(request, prompt)[0][1] != prompt for prompt in _prompts(request)
    )


def _prompts(request: RenderRequest) -> tuple[str, ...]:
    if request.guidance_scale <= 1:
        return (request.prompt,)
    return request.prompt, request.negative_prompt or ""
