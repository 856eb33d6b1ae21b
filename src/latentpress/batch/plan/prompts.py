"""What a plan says of its prompts: those that cannot be read, words that look like concepts, text that is cut off."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

from latentpress.errors import nearest, short, shown
from latentpress.export.reading.concept_paths import single_tokens
from latentpress.manifest.concepts import ConceptFile
from latentpress.manifest.field import Values
from latentpress.manifest.nodes import Place, Problems
from latentpress.manifest.plain_text import Line
from latentpress.manifest.shape import Draft
from latentpress.manifest.values import Verbatim
from latentpress.runtime.facts import BundleFacts, Bundles
from latentpress.runtime.prompt_rules import calls_of
from latentpress.runtime.prompts import Reading
from latentpress.runtime.prompts.cleaning import dropped
from latentpress.runtime.prompts.editing import texts
from latentpress.runtime.prompts.marks import IMITATED, misread
from latentpress.runtime.prompts.parts import PromptCheck

# Verdicts kept: a matrix repeats its prompts, and its negative prompt above all.
_KEPT = 16_384


class PromptChecks:
    """Checks each draft's prompts on its bundles; mistakes go to `problems`.

    warnings: what would be cut off or misread, in order; chunks: of each bundle's hash the most chunks a prompt takes.
    """

    def __init__(
        self,
        bundles: Bundles,
        problems: Problems,
        where: Callable[[Line, str], Place] = lambda written, part: written.place,
        lines: Callable[[str], Iterable[Line]] = lambda written: (),
        *,
        wildcards: bool = False,
    ) -> None:
        """where: where a part of what a prompt came to stands, by the prompt as it is written; lines: those of files that
        such a prompt draws on; wildcards: whether those of prompts were read, so that what is left is meant as characters.
        """
        self._bundles, self._problems, self._wildcards = bundles, problems, wildcards
        self._where, self._lines = where, lines
        self._facts = {facts.hash: facts for facts in bundles.values()}
        self._verdict = lru_cache(_KEPT)(self._ask)
        self._used: set[str] = set()
        self.warnings: dict[str, None] = {}
        self.chunks: dict[str, int] = {}

    def check(self, draft: Draft, facts: BundleFacts) -> int:
        """Check the prompts of `draft` on its bundle and its refiner's; returns the most chunks that one takes."""
        return max(self.positive(draft, facts)[0], self.negative(draft, facts)[0])

    def positive(self, draft: Draft, facts: BundleFacts) -> tuple[int, tuple[tuple[str, ...], ...]]:
        """Check the prompt that says what to draw: the most chunks that it takes, and its concepts on each bundle."""
        written = draft.written_prompt("prompt")
        prompt = _Prompt(draft.values["prompt"], draft.prompt_place, True, written)
        chunks, concepts, _ = self._checked(prompt, draft.values, facts)
        return chunks, concepts

    def negative(self, draft: Draft, facts: BundleFacts) -> tuple[int, bool]:
        """Check the negative prompt: the most chunks that it takes, and whether anything is said of it."""
        place = draft.places.get("negative_prompt", draft.prompt_place)
        written = draft.written_prompt("negative_prompt")
        prompt = _Prompt(draft.values["negative_prompt"] or "", place, False, written)
        chunks, _, said = self._checked(prompt, draft.values, facts)
        return chunks, said

    def plain(self, prompt: str, reading: Reading, on: Sequence[BundleFacts]) -> tuple[tuple[str, ...], ...] | None:
        """The concepts in a prompt on each of the bundles, if each reads it whole, in one chunk, and has nothing to say."""
        found: list[tuple[str, ...]] = []
        for facts in on:
            concepts = facts.plain(prompt, reading)
            if concepts is None:
                return None
            if concepts:
                self._used.update(concepts)
            found.append(concepts)
        return tuple(found)

    def read_on(self, values: Values, facts: BundleFacts) -> list[BundleFacts]:
        """The bundles that the prompts of a draft on the bundle of `facts` are read on: its refiner's first."""
        return [*(self._bundles[choice.model] for choice in values["refiner"]), facts]

    def _checked(
        self, prompt: "_Prompt", values: Values, facts: BundleFacts
    ) -> tuple[int, tuple[tuple[str, ...], ...], bool]:
        reading = Reading(values["prompt_weighting"], values["long_prompts"], values["text_cleaning"])
        most, mistakes = 1, False
        concepts: list[tuple[str, ...]] = []
        for one, bundle in product(_texts(prompt, values), self.read_on(values, facts)):
            found = self._verdict(bundle.hash, one.text, reading)
            self._check_unknown(one, found, bundle)
            if found.fault:  # of a text, whatever a job uses it for
                place = self._faulty_line(prompt, one.text, bundle, reading)
                self._problems.add(place, found.fault if prompt.positive else _of_negative(found.fault))
            mistakes = mistakes or bool(found.fault or found.unknown)
            self._used.update(found.concepts)
            concepts.append(found.concepts)
            most = max(most, found.chunks)
            self.chunks[bundle.hash] = max(self.chunks.get(bundle.hash, 1), found.chunks)
        said = [
            f"{self._place(one, part)}: warning: {what}"
            for one in _texts(prompt, values)
            for part, what in _warnings(
                one, self._verdict(facts.hash, one.text, reading), reading, wildcards=self._wildcards
            )
        ]
        self.warnings |= dict.fromkeys(said)
        return most, tuple(concepts), mistakes or bool(said)

    def warn_of_unused(self, concepts: Sequence[ConceptFile]) -> None:
        """Warn of those of a manifest's `concepts` that none of the prompts checked draws on."""
        for concept in concepts:
            if self._used.isdisjoint({concept.token, *single_tokens(concept.token)}):
                self.warnings.setdefault(
                    f"{concept.place}: warning: no prompt uses the concept {short(concept.token)}; "
                    "write its token into a prompt, in these letters, or leave it out"
                )

    def verdict(self, facts: BundleFacts, text: str, reading: Reading) -> PromptCheck:
        """What the tokenizer of the bundle says of a prompt, asked once for each."""
        return self._verdict(facts.hash, text, reading)

    def _ask(self, bundle: str, text: str, reading: Reading) -> PromptCheck:
        return self._facts[bundle].check(text, reading)

    def _check_unknown(self, prompt: "_Prompt", verdict: PromptCheck, bundle: BundleFacts) -> None:
        for token in verdict.unknown:
            if token.startswith("<hypernet:"):
                why = "is a hypernetwork of A1111's, and hypernetworks are not read here; take it out of the prompt"
            elif token.startswith(("<lora:", "<lyco:")):
                why = (
                    "is a LoRA of A1111's, and prompts name none here; fuse its file by "
                    "`latentpress export --lora FILE:SCALE`, and take it out of the prompt"
                )
            else:
                known = f"or use one of: {', '.join(bundle.concepts) or 'none'}"
                close = self._close(token, tuple(bundle.concepts))
                why = (
                    f"looks like a concept, but the bundle has none of that name; {close}"
                    f"write \\{short(token[:-1])}\\> for the characters themselves, name its file under `concepts`, {known}"
                )
            self._problems.add(self._place(prompt, token), f"{short(token)} in {prompt.called} {why}")

    @staticmethod
    @lru_cache(_KEPT)
    def _close(token: str, known: tuple[str, ...]) -> str:
        """The question whether one of the `known` concepts is meant, if one is like `token`."""
        close = nearest(token, known)
        return f"did you mean {close}? " if close else ""

    def _faulty_line(self, prompt: "_Prompt", text: str, bundle: BundleFacts, reading: Reading) -> Place:
        """Where a prompt that comes to `text` cannot be read: in a line of a file that cannot by itself, or all of it."""
        for line in self._lines(prompt.written.text) if prompt.written is not None else ():
            if line.text in text and self._verdict(bundle.hash, line.text, reading).fault:
                return line.place
        return prompt.place

    def _place(self, prompt: "_Prompt", part: str) -> Place:
        """Where a part of a prompt stands; "" is all of it."""
        return self._where(prompt.written, part) if part and prompt.written is not None else prompt.place


@dataclass(frozen=True)
class _Prompt:
    """One of a job's two prompts and where it is given; positive: whether it is the one that says what to draw.

    written: the prompt as it is written.
    """

    text: str
    place: Place
    positive: bool
    written: Line | None

    @property
    def verbatim(self) -> bool:
        """Whether braces, wildcards and placeholders in it are characters."""
        return self.written is not None and isinstance(self.written.text, Verbatim)

    @property
    def called(self) -> str:
        return "the prompt" if self.positive else "the negative prompt"


def _warnings(prompt: _Prompt, verdict: PromptCheck, reading: Reading, *, wildcards: bool) -> Iterator[tuple[str, str]]:
    """Parts of a prompt and what is said of them."""
    if verdict.cut:
        over = verdict.tokens - verdict.limit
        yield (
            "",
            f"{prompt.called} is {verdict.tokens:,} tokens long, {over:,} over the limit of {verdict.limit}; "
            f"this is cut off: {shown(verdict.cut)}",
        )
    if reading.cleaning == "basic" and (lost := dropped(prompt.text)):
        codes = ", ".join(f"U+{ord(char):04X}" for char in lost[:3]) + (", ..." if len(lost) > 3 else "")
        yield (
            lost[0],
            f"{prompt.called} holds {codes}, which `text_cleaning: basic` leaves out; "
            "`text_cleaning: clip` reads what CLIP read in training",
        )
    for word, concept in verdict.near:
        what = f"{shown(word)} in {prompt.called} is read as ordinary words"
        yield word, f"{what}; did you mean the concept {short(concept)}?"
    for text, says in misread(prompt.text, reading.weighting, wildcards=wildcards or prompt.verbatim):
        yield text, f"{shown(text)} in {prompt.called} is taken as characters; {says}"
    for marker in IMITATED:
        if marker in prompt.text:
            yield (
                marker,
                f"{prompt.called} holds {marker!r}, which readers of the `parameters` text take for their own; "
                "the `latentpress` text stays exact",
            )


def _texts(prompt: _Prompt, values: Values) -> list[_Prompt]:
    """The prompt as each of the texts that A1111's dialect makes of it in the course of the steps."""
    if values["prompt_weighting"] != "a1111":
        return [prompt]
    calls = calls_of(values["sampler"], values["steps"])
    return [replace(prompt, text=text) for text in texts(prompt.text, calls)]


def _of_negative(fault: str) -> str:
    """A fault of a text that calls itself "the prompt", where a job has that text as its negative prompt."""
    return f"the negative prompt cannot be read: {fault.replace('in the prompt', 'in it')}"
