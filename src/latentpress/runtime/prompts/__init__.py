"""How a prompt is read: its characters as they stand, or a weighting dialect's parts. Knows nothing of tokens or models.

The same text means different things in different dialects, so nothing is guessed: the job names one.
"""

from latentpress.runtime.prompts import a1111, compel
from latentpress.runtime.prompts.cleaning import CLEANINGS
from latentpress.runtime.prompts.parts import PLAIN, Part, Reading, Section

__all__ = ["CLEANINGS", "LONG_PROMPTS", "PLAIN", "WEIGHTINGS", "Part", "Reading", "Section", "parse_prompt"]

WEIGHTINGS = ("none", "a1111", "compel")
LONG_PROMPTS = ("truncate", "chunks")


def parse_prompt(prompt: str, weighting: str) -> tuple[Section, ...]:
    """The parts of `prompt` in a dialect of WEIGHTINGS, one section or, where A1111's BREAK divides it, several.

    Raises UsageError for syntax of the dialect that is not supported here.
    """
    if weighting == "a1111":
        return a1111.parse(prompt)
    if weighting == "compel":
        return (compel.parse(prompt),)
    return ((Part(prompt, 1.0),),)
