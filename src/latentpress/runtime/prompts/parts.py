"""A prompt's parts and what a job says of how prompts are read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Text to be taken as it stands, and its weight; 1 changes nothing."""

    text: str
    weight: float


# What lies between two BREAKs: a chunk of its own, or more where it is long.
Section = tuple[Part, ...]


@dataclass(frozen=True)
class Reading:
    """How a prompt is read.

    weighting: none, a1111 or compel; long_prompts: truncate or chunks; cleaning: basic or clip.
    """

    weighting: str = "none"
    long_prompts: str = "truncate"
    cleaning: str = "basic"


PLAIN = Reading()


@dataclass(frozen=True)
class PromptCheck:
    """A prompt's length and faults: `tokens` of `limit`, the text `cut` off, `unknown` concept-like words.

    chunks: how many of `limit` tokens it is encoded in; fault: why it cannot be read as the job asks, None if it can;
    concepts: those that it draws on, each once, without what is cut off; near: words that are a concept but for their
    case, or the name of a concept's file, each with the concept.
    """

    tokens: int
    limit: int
    cut: str
    unknown: tuple[str, ...]
    chunks: int = 1
    fault: str | None = None
    concepts: tuple[str, ...] = ()
    near: tuple[tuple[str, str], ...] = ()
