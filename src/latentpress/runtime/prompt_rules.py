"""Which requests the rules of `runtime.rules` about prompts touch."""

from latentpress.runtime.prompts.cleaning import newer
from latentpress.runtime.request import RenderRequest


def unassigned_characters(request: RenderRequest) -> bool:
    """Whether a prompt has a character that Unicode 14 does not have: it was dropped, and is kept."""
    return request.text_cleaning == "basic" and any(map(newer, prompts_of(request)))


def prompts_of(request: RenderRequest) -> tuple[str, ...]:
    """The prompts that decide pixels: the negative one where there is classifier-free guidance."""
    negative = request.negative_prompt if request.guidance_scale > 1 else None
    return (request.prompt, negative) if negative else (request.prompt,)
