"""What in a prompt another program would read as more than its characters, and what to write here for it."""

import re

_A1111, _COMPEL, _LONG = "`prompt_weighting: a1111`", "`prompt_weighting: compel`", "`long_prompts: chunks`"
_WILDCARDS = "wildcards"
_WEIGHT = r"[+-]?(?:\d?\.\d+|[0-2]\.?)"  # so that (16:9) is none
# Every mark has one of these in it, none of which holds a blank; most prompts have none and are not looked at further.
MARKS = ("(", "[", "<", "++", "--", "__", "BREAK")
# What parts the prompts and settings in the text that A1111 writes into pictures, which has no escape for it.
IMITATED = ("Negative prompt:", "Steps:")
# The dialect that reads it, the pattern, what they say of it.
_MARKS = (
    ("a1111", re.compile(rf"(?<!\\)\([^()]*:\s*{_WEIGHT}\s*\)"), f"{_A1111} reads it as a weight"),
    ("a1111", re.compile(r"(?<!\\)\(\([^()]+\)\)"), f"{_A1111} reads it as a weight"),
    ("a1111", re.compile(r"(?<!\\)\[[^\[\]]*:\s*(?:\d*\.?\d+)\s*\]"), f"{_A1111} changes the prompt between steps"),
    ("a1111", re.compile(r"(?<!\\)\[[^\[\]|]+\|[^\[\]]*\]"), f"{_A1111} changes the prompt at every step"),
    ("a1111", re.compile(r"\bBREAK\b"), f"{_A1111} with {_LONG} begins a new chunk there"),
    # C++ and dashes between words are none.
    ("compel", re.compile(r"(?!(?<!\w)[cC]\+\+)[\w-]*\w(?:\+\++|--+)(?=[\s,.)]|$)"), f"{_COMPEL} reads it as a weight"),
    ("compel", re.compile(rf"\([^()]*\)(?:\++|-+|{_WEIGHT})(?=[\s,.)]|$)"), f"{_COMPEL} reads it as a weight"),
    (_WILDCARDS, re.compile(r"__[\w./ *-]*\w__"), "a folder `wildcards` beside the manifest has their words"),
    ("", re.compile(r"<(?:lora|lyco):[^<>]*\s[^<>]*>"), "a LoRA is fused by `latentpress export --lora FILE:SCALE`"),
)


def misread(prompt: str, weighting: str, *, wildcards: bool = False) -> list[tuple[str, str]]:
    """What `prompt` holds that its dialect takes as characters, and what reads it otherwise; the first of each kind.

    wildcards: whether those that are left in it are meant as characters.
    """
    if not any(map(prompt.__contains__, MARKS)):
        return []
    found: dict[str, str] = {}
    read = (weighting, _WILDCARDS if wildcards else weighting)
    for dialect, pattern, says in _MARKS:
        if dialect not in read and says not in found.values() and (match := pattern.search(prompt)):
            found.setdefault(match.group(), says)
    return list(found.items())
