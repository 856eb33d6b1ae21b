"""What a plan says of its prompts: those that cannot be read, words that look like concepts, text that is cut off."""

from collections.abc import Iterator
from functools import lru_cache

from latentpress.errors import short, shown
from latentpress.manifest.draft import Draft
from latentpress.manifest.nodes import Place, Problems
from latentpress.runtime.facts import BundleFacts, Bundles
from latentpress.runtime.prompts import Reading
from latentpress.runtime.prompts.parts import PromptCheck

# Verdicts kept: a matrix repeats its prompts, and its negative prompt above all.
_KEPT = 16_384


class PromptChecks:
    """Checks each draft's prompts on its bundles; mistakes go to `problems`.

    warnings: what would be cut off or misread, in order; chunks: of each bundle's hash the most chunks a prompt takes.
    """

    def __init__(self, bundles: Bundles, problems: Problems) -> None:
        self._bundles, self._problems = bundles, problems
        self._facts = {facts.hash: facts for facts in bundles.values()}
        self._verdict = lru_cache(_KEPT)(self._ask)
        self.warnings: dict[str, None] = {}
        self.chunks: dict[str, int] = {}

    def check(self, draft: Draft, facts: BundleFacts) -> int:
        """Check the prompts of `draft` on its bundle and its refiner's; returns the most chunks that one takes."""
        reading = Reading(draft.values["prompt_weighting"], draft.values["long_prompts"])
        used = [*(self._bundles[choice.model] for choice in draft.values["refiner"]), facts]
        most = 1
        for text, place in self._prompts(draft):
            for bundle in used:
                found = self._verdict(bundle.hash, text, reading)
                self._check_unknown(draft, found, bundle)
                if found.fault:
                    self._problems.add(place, found.fault)
                most = max(most, found.chunks)
                self.chunks[bundle.hash] = max(self.chunks.get(bundle.hash, 1), found.chunks)
            self._warn(draft, text, self._verdict(facts.hash, text, reading))
        return most

    def _ask(self, bundle: str, text: str, reading: Reading) -> PromptCheck:
        return self._facts[bundle].check(text, reading)

    def _prompts(self, draft: Draft) -> Iterator[tuple[str, Place]]:
        yield draft.values["prompt"], draft.prompt_place
        yield draft.values["negative_prompt"] or "", draft.places.get("negative_prompt", draft.prompt_place)

    def _warn(self, draft: Draft, text: str, verdict: PromptCheck) -> None:
        if verdict.cut:
            over = verdict.tokens - verdict.limit
            self.warnings.setdefault(
                f"{draft.prompt_place}: warning: the prompt is {verdict.tokens} tokens long, {over} over the "
                f"limit of {verdict.limit}; this is cut off: {shown(verdict.cut)}"
            )
        for marker in ("\nNegative prompt:", "\nSteps:"):
            if marker in text:
                self.warnings.setdefault(
                    f"{draft.prompt_place}: warning: the prompt holds a line beginning {marker.strip()!r}, which "
                    "readers of the `parameters` text take for their own; the `latentpress` text stays exact"
                )

    def _check_unknown(self, draft: Draft, verdict: PromptCheck, bundle: BundleFacts) -> None:
        for token in verdict.unknown:
            known = ", ".join(bundle.concepts) or "none"
            self._problems.add(
                draft.prompt_place,
                f"{short(token)} in the prompt looks like a concept, but the bundle has none of that name; "
                f"name its file under `concepts`, or use one of: {known}",
            )
