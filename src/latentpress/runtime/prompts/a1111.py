r"""The weighting dialect of AUTOMATIC1111's stable-diffusion-webui: (more), (so much:1.3), [less], BREAK.

Its wiki page "Features, Attention/emphasis" and the docstring of its parse_prompt_attention give the grammar:
(text) is weighed 1.1, (text:number) number, [text] 1/1.1; brackets nest and multiply; \( \) \[ \] \\ are the characters
themselves; a bracket never closed reaches to the end, one never opened is a character. BREAK, a word of its own, begins
a new chunk. What changes between steps, `editing` has settled before.
"""

import re

from latentpress.errors import UsageError, shown
from latentpress.runtime.prompts.parts import Part, Section

_ROUND, _SQUARE = 1.1, 1 / 1.1
_TOKEN = re.compile(
    r"""\\(?P<escaped>[()\[\]\\]?)          # an escaped character, or a backslash alone, which is dropped
      | (?P<opened>[(\[])
      | :\s*(?P<weight>[+-]?[.\d]+)\s*\)
      | (?P<closed>[)\]])
      | (?P<text>[^\\()\[\]:]+|:)""",
    re.VERBOSE,
)
_BREAK = re.compile(r"\s*\bBREAK\b\s*")
_AND = re.compile(r"\bAND\b")


def parse(prompt: str) -> tuple[Section, ...]:
    """The sections of `prompt` between its BREAKs, never none; neighbours of equal weight are one part.

    Raises UsageError for AND, and a weight that is not a number.
    """
    if _AND.search(prompt):
        raise UsageError(
            "'AND' in the prompt composes several prompts in A1111, which is not supported; "
            "write it in small letters if it is meant as a word"
        )
    texts: list[str] = []
    weights: list[float] = []
    breaks: set[int] = set()  # the parts that a BREAK precedes
    opened: dict[str, list[int]] = {"(": [], "[": []}

    def add(text: str) -> None:
        texts.append(text)
        weights.append(1.0)

    def weigh(start: int, weight: float) -> None:
        for index in range(start, len(weights)):
            weights[index] *= weight

    for token in _TOKEN.finditer(prompt):
        if token["opened"]:
            opened[token["opened"]].append(len(texts))
        elif token["weight"] and opened["("]:
            weigh(opened["("].pop(), _number(token["weight"], prompt))
        elif token["closed"] == ")" and opened["("]:
            weigh(opened["("].pop(), _ROUND)
        elif token["closed"] == "]" and opened["["]:
            weigh(opened["["].pop(), _SQUARE)
        elif token["escaped"] is not None:
            add(token["escaped"])
        else:
            for index, text in enumerate(_BREAK.split(token.group())):
                if index:
                    breaks.add(len(texts))
                add(text)
    for bracket, weight in (("(", _ROUND), ("[", _SQUARE)):
        for start in opened[bracket]:
            weigh(start, weight)
    return _sections(texts, weights, breaks)


def _sections(texts: list[str], weights: list[float], breaks: set[int]) -> tuple[Section, ...]:
    sections: list[list[Part]] = [[]]
    for index, (text, weight) in enumerate(zip(texts, weights, strict=True)):
        if index in breaks:
            sections.append([])
        parts = sections[-1]
        if parts and parts[-1].weight == weight:
            parts[-1] = Part(parts[-1].text + text, weight)
        elif text:
            parts.append(Part(text, weight))
    while len(sections) > 1 and not sections[-1]:  # a BREAK at the end begins nothing
        sections.pop()
    return tuple(tuple(parts) or (Part("", 1.0),) for parts in sections)


def _number(text: str, prompt: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(
            f"the weight {shown(text)} in the prompt {shown(prompt)} is not a number; write it as (word:1.3)"
        ) from None
