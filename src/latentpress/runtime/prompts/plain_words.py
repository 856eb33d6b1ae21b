"""Counts the tokens of prompts that are ordinary words, word by word: a plan of a million prompts reads each word once.

A blank parts byte pairs, concepts and every mark that this release knows, so what a word comes to does not depend on its
neighbours. Whatever could depend on them is left to `PromptTokenizer.check`, which says the same of the rest.
"""

import re
from collections.abc import Callable, Iterable

from latentpress.runtime.prompts.marks import IMITATED, MARKS
from latentpress.runtime.prompts.parts import PLAIN, PromptCheck, Reading

# Words that are remembered, in any letters: some 10 MB.
_KEPT = 1 << 16
# What a dialect reads as more than characters, beside what marks look like: a word with any of these is not ordinary.
_SPECIAL = {"none": re.compile(r"\\"), "a1111": re.compile(r"[\\()\[\]:|<>]|\bAND\b|\bBREAK\b")}
_MARKED = re.compile("|".join(map(re.escape, (*MARKS, *(text.rpartition(" ")[2] for text in IMITATED)))))
# What a word without a count counts as, and one that names concepts: more than any prompt has tokens.
_UNKNOWN, _CONCEPT = 1 << 40, 1 << 20


class PlainWords:
    """The tokens of ordinary words, and the concepts written among them, for one tokenizer.

    check: what it says of a text, as a plan has it; concepts: its tokens of concepts; added: every text that it takes apart
    from the words around it; names: what else a word may be taken for, in small letters. limit: of tokens.
    """

    def __init__(
        self,
        check: Callable[[str, Reading], PromptCheck],
        concepts: Iterable[str],
        added: Iterable[str],
        names: Iterable[str],
        limit: int,
    ) -> None:
        self._check, self._concepts, self._limit = check, frozenset(concepts), limit
        parted = any(re.search(r"\s", name) for name in (*self._concepts, *added))
        self._spaced = tuple(name for name in names if re.search(r"\s", name))
        # A1111 finds concepts by the tokens of several words.
        self._counts: dict[str, dict[str, int]] = {} if parted else {"none": {"": 0}}
        if not parted and not self._concepts:
            self._counts["a1111"] = {"": 0}
        self._named: dict[str, tuple[str, ...]] = {}

    def __call__(self, prompt: str, reading: Reading) -> tuple[str, ...] | None:
        """The concepts in `prompt`, if it fits into one chunk whole and there is nothing to say of it; else None.

        None is no verdict: `check` has that.
        """
        counts = self._counts.get(reading.weighting)
        if counts is None or not prompt.isascii() or not prompt.isprintable():
            return None
        if reading.cleaning != PLAIN.cleaning and "&" in prompt:
            return None
        words = prompt.split(" ")
        try:
            count = sum(map(counts.__getitem__, words))
        except KeyError:
            self._learn(words, counts, reading.weighting)
            count = sum([counts.get(word, _UNKNOWN) for word in words])
        if count <= self._limit and not self._spaced:
            return ()
        if count >= _UNKNOWN or count % _CONCEPT > self._limit:
            return None
        lower = prompt.lower() if self._spaced else ""
        if any(name in lower for name in self._spaced):
            return None
        return tuple(dict.fromkeys(name for word in words for name in self._named.get(word, ())))

    def _learn(self, words: Iterable[str], counts: dict[str, int], weighting: str) -> None:
        if len(counts) > _KEPT:
            counts.clear()
            self._named.clear()
            counts[""] = 0
        for word in words:
            if word not in counts:
                counts[word] = self._count(word, weighting)

    def _count(self, word: str, weighting: str) -> int:
        if _SPECIAL[weighting].search(word):
            return _UNKNOWN
        said = self._check(word, PLAIN)
        rest = word
        for concept in said.concepts:  # whose brackets are no marks
            rest = rest.replace(concept, concept.strip("<>"))
        if _MARKED.search(rest) or said.unknown or said.near or said.cut or said.fault:
            return _UNKNOWN
        if not said.concepts:
            return said.tokens
        self._named[word] = said.concepts
        return said.tokens + _CONCEPT
