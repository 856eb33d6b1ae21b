"""Rules by which pictures are drawn that were once other ones, and which requests each touches.

A fix that changes the pixels of a job that did not change adds a rule here: its number goes into the hash of the jobs it
touches and of no others. So what was drawn wrongly does not count as done, and what was drawn rightly still does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from latentpress.bundle.info import BundleInfo
from latentpress.runtime import prompt_rules
from latentpress.runtime.changes import (
    counted_otherwise,
    cropped_otherwise,
    moved_otherwise,
    pushed_otherwise,
    timed_otherwise,
)
from latentpress.runtime.pictures.masks import MASK_ALPHA, MODES, PICTURE_ALPHA, THIN
from latentpress.runtime.request import RenderRequest
from latentpress.runtime.sampling.schedule import noise_schedule
from latentpress.runtime.sampling.solvers import SolverCache


@dataclass(frozen=True)
class Scene:
    """What a rule may look at beside the request: the bundle's info, and those of the refiners by their bundles' hash.

    found_otherwise: whether A1111's dialect finds a concept in a prompt that is not written there to the letter.
    """

    info: BundleInfo
    refiners: Mapping[str, BundleInfo]
    found_otherwise: Callable[[str], bool] = lambda prompt: False

    def solvers_of(self, request: RenderRequest) -> tuple[SolverCache, SolverCache | None]:
        """The samplers' tables on the bundle, and on the request's refiner, if it has one."""
        return self._solvers, self._refined[request.refiner.sha256] if request.refiner else None

    def scored(self, request: RenderRequest) -> tuple[bool, bool]:
        """Whether the bundle, and the request's refiner, is told aesthetic scores."""
        refiner = self.refiners[request.refiner.sha256] if request.refiner else None
        return self.info.requires_aesthetics_score, refiner is not None and refiner.requires_aesthetics_score

    @cached_property
    def _solvers(self) -> SolverCache:
        return SolverCache(noise_schedule(self.info.scheduler))

    @cached_property
    def _refined(self) -> Mapping[str, SolverCache]:
        return {digest: SolverCache(noise_schedule(info.scheduler)) for digest, info in self.refiners.items()}


@dataclass(frozen=True)
class Rule:
    """A rule with a number: 1 is how it was at first and is not written down, so the first change of a rule is its 2.

    name: what it is about, for hashes and messages, for ever; touches: whether the pixels of such a request changed with
    this number.
    """

    name: str
    number: int
    touches: Callable[[RenderRequest, Scene], bool]


def _read_otherwise(name: str, request: RenderRequest, scene: Scene) -> bool:
    """Whether a given picture or mask of the request is read otherwise by the rule `name`."""
    return any(file is not None and name in file.otherwise for file in (request.init_image, request.mask_image))


# In the order in which they came to be: a later one goes to the end, and none is ever taken out.
RULES: tuple[Rule, ...] = (
    Rule("unassigned-characters", 2, lambda request, scene: prompt_rules.unassigned_characters(request)),
    Rule("loss-at-zero-snr", 2, lambda request, scene: pushed_otherwise(request, *scene.solvers_of(request))),
    Rule("switch-inside-a-step", 2, lambda request, scene: counted_otherwise(request, *scene.solvers_of(request))),
    Rule("negative-crop", 2, lambda r, scene: cropped_otherwise(r, scene.scored(r), *scene.solvers_of(r))),
    Rule("first-timestep", 2, lambda request, scene: timed_otherwise(request, *scene.solvers_of(request))),
    # Of given pictures, known when they are measured (manifest/given.py); `pictures.masks` and `pictures.reading` have why.
    *(Rule(name, 2, partial(_read_otherwise, name)) for name in (MODES, PICTURE_ALPHA, MASK_ALPHA, THIN)),
    Rule("concept-case", 2, lambda request, scene: prompt_rules.concept_case(request, scene.found_otherwise)),
    Rule("prompt-editing", 2, lambda request, scene: prompt_rules.prompt_editing(request)),
    Rule("loss-step", 2, lambda request, scene: moved_otherwise(request, *scene.solvers_of(request))),
)


def rules_of(request: RenderRequest, scene: Scene) -> tuple[Rule, ...]:
    """The rules that touch `request`, in the order in which they came to be."""
    return tuple(rule for rule in RULES if rule.touches(request, scene))


def numbers(rules: Sequence[Rule]) -> dict[str, int]:
    """The number of each rule's name, the last one where it changed more than once."""
    return {rule.name: rule.number for rule in rules}


def earlier(rules: Sequence[Rule]) -> list[dict[str, int]]:
    """The numbers that a request which `rules` touch had before each of them came to be, the first state first."""
    return [numbers(rules[:count]) for count in range(len(rules))]
