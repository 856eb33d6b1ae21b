"""Where a prompt names concepts: as they are written, or as A1111 finds them. Knows no model.

A concept is found where it is written to the letter: longest match, and never inside a word, so that a concept `cat`
leaves "concatenate" alone. A1111 looks for the tokens of its name (modules/textual_inversion: find_embedding_at_position),
longest first: so in any case and spacing. In its dialect both hold: a name that its bracket parts from A1111's tokens,
as in `<line-art>,`, stays a concept.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath

# A word in brackets that is meant as it stands: \\<OK\\>. The brackets become characters that no text has, and are written
# in again once concepts are out.
_LITERAL = re.compile(r"\\<([^<>\s]+?)\\>")
_OPENED, _CLOSED = "\ufdd0", "\ufdd1"
_HIDDEN = re.compile(f"{_OPENED}([^{_OPENED}{_CLOSED}]*){_CLOSED}")
_LOOKS_LIKE_CONCEPT = re.compile(r"(?<!\\)<(?=[^<>\s]*\w)[^<>\s]+>")
# CLIP's own tokens: read as such by transformers, and so by diffusers.
_OWN = ("<|startoftext|>", "<|endoftext|>")


def hide_literals(prompt: str) -> str:
    """`prompt` with its \\<words\\> out of the reach of concepts and dialects; `show_literals` brings them back."""
    return _LITERAL.sub(f"{_OPENED}\\1{_CLOSED}", prompt) if "\\<" in prompt else prompt


def has_literals(text: str) -> bool:
    """Whether `hide_literals` hid something in `text`."""
    return _OPENED in text or _CLOSED in text


def show_literals(text: str, adds: Callable[[str], bool]) -> str:
    """`text` with its hidden brackets; one that is an added token (`adds`) gets a space, which makes words of it."""

    def shown(match: re.Match[str]) -> str:
        return f"< {match[1]}>" if adds(f"<{match[1]}>") else f"<{match[1]}>"

    return _HIDDEN.sub(shown, text).replace(_OPENED, "<").replace(_CLOSED, ">")


def concept_like(prompt: str) -> list[str]:
    """The words of `prompt` between < and > that are not meant as they stand."""
    return [word for word in _LOOKS_LIKE_CONCEPT.findall(prompt) if word not in _OWN] if "<" in prompt else []


class Names:
    """The concepts of a bundle by what they are called.

    tokens: as in prompts; sources: token -> the name of its file; words: the ids of a text that is no concept.
    """

    def __init__(self, tokens: Sequence[str], sources: Mapping[str, str], words: Callable[[str], list[int]]) -> None:
        longest_first = sorted(tokens, key=len, reverse=True)
        self.exact = re.compile("|".join(map(word_pattern, longest_first))) if tokens else None
        self._any_case = re.compile(self.exact.pattern, re.IGNORECASE) if self.exact else None
        self._tokens = longest_first
        files = {PurePath(sources[token]).stem: token for token in tokens if token in sources}
        own = {token.strip("<>").lower() for token in tokens}
        # A file named as its token says nothing new: "line-art" is a word of its own beside <line-art>.
        named = {stem: token for stem, token in files.items() if stem and stem.lower() not in own}
        self._near = {token.lower(): token for token in tokens} | {stem.lower(): token for stem, token in named.items()}
        alike = sorted({*tokens, *named}, key=len, reverse=True)
        self._alike = re.compile("|".join(map(word_pattern, alike)), re.IGNORECASE) if alike else None
        self._by_first: dict[int, list[tuple[list[int], str]]] = {}
        for token in longest_first:
            if ids := words(token):
                self._by_first.setdefault(ids[0], []).append((ids, token))
        for known in self._by_first.values():
            known.sort(key=lambda entry: len(entry[0]), reverse=True)

    def spelled(self, text: str, *, any_case: bool) -> list[tuple[int, int, str]]:
        """(start, end, concept) for each concept written in `text`; any_case: as it is or in other letters."""
        if self.exact is None or self._any_case is None:
            return []
        matches = list((self._any_case if any_case else self.exact).finditer(text))
        if matches and has_literals(text):
            apart = [match.span() for match in _HIDDEN.finditer(text)]
            matches = [
                one for one in matches if not any(start < one.end() and one.start() < end for start, end in apart)
            ]
        return [(match.start(), match.end(), self._called(match.group())) for match in matches]

    @property
    def known(self) -> tuple[str, ...]:
        """What a word may be taken for by `near`, in small letters."""
        return tuple(self._near)

    def at(self, ids: Sequence[int], place: int) -> tuple[str, int]:
        """The concept whose name's tokens stand in `ids` at `place`, the longest, and how many they are; "" and 1."""
        for name, token in self._by_first.get(ids[place], ()):
            if ids[place : place + len(name)] == name:
                return token, len(name)
        return "", 1

    def near(self, prompt: str) -> tuple[tuple[str, str], ...]:
        """Words of `prompt` that are a concept's name but for their case, or its file's name, each with the concept."""
        if self._alike is None:
            return ()
        lower = prompt.lower()
        # Most prompts write what they name to the letter, and need no closer look.
        here = [(name, token) for name, token in self._near.items() if name in lower]
        if all(token.lower() == name and lower.count(name) == prompt.count(token) for name, token in here):
            return ()
        found = [match.group() for match in self._alike.finditer(_LITERAL.sub(" ", prompt))]
        pairs = {word: self._near.get(word.lower(), "") for word in found if word not in self._tokens}
        return tuple((word, concept) for word, concept in pairs.items() if concept)

    def _called(self, written: str) -> str:
        if written in self._tokens:
            return written
        return next(token for token in self._tokens if re.fullmatch(re.escape(token), written, re.IGNORECASE))


def word_pattern(token: str) -> str:
    """A pattern for `token` that does not match inside a longer word."""
    before = r"(?<!\w)" if token[0].isalnum() else ""
    after = r"(?!\w)" if token[-1].isalnum() else ""
    return before + re.escape(token) + after
