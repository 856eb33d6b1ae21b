"""Which scales of each built-in loss are of use on a bundle: measured once, and kept in the cache by what decides them.

A guided step moves x0 by scale * s^2 * |gradient|, so that one push too small to change the picture tells how far any scale
would push the same x0. The scales of use begin where the longest push of a picture is LEAST of |x0|, and end where the cap
of `step: capped` begins to cut it.
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from latentpress.batch.executors.local import LocalExecutor, Settings
from latentpress.batch.plan.plan import build_plan
from latentpress.batch.progress import duration
from latentpress.bundle.info import Bundle
from latentpress.errors import LatentpressError, UsageError, counted
from latentpress.files import write_durably
from latentpress.manifest.manifest import Manifest
from latentpress.models import Models, facts_of
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.request import DEFAULT_CAP, LossSpec, RenderRequest

LEAST = 0.05
FILE = "loss-scales.json"
# The pictures that a bundle is measured with; of a manifest as many of its first ones that have different prompts.
PICTURES = (("an owl", 1), ("a red kite over a hill", 2))
STEPS = 20
# As weak as changes nothing that can be seen, and as a float32 holds without loss.
_PROBE = 1e-6
Scales = Mapping[str, tuple[float, float] | None]


@dataclass(frozen=True)
class Basis:
    """What is measured on: a bundle, and pictures of it without losses, all of one size, sampler and number of steps."""

    name: str
    bundle: Bundle
    content: str
    requests: Sequence[RenderRequest]

    @property
    def about(self) -> str:
        """The pictures' size, sampler and steps: scales are those of these."""
        one = self.requests[0]
        return f"{one.width}x{one.height}, {one.sampler}, {one.steps} steps"


def basis_of_bundle(name: str, bundle: Bundle) -> Basis:
    """Two pictures of the bundle's usual size by Euler in 20 steps. Raises UsageError where the bundle makes no such."""
    facts = facts_of({name: bundle})[name]
    height, width = facts.default_size
    negative = None if facts.zeros_for_no_negative else ""
    requests = [
        RenderRequest(prompt, seed, height, width, "euler", STEPS, 7.5, negative_prompt=negative)
        for prompt, seed in PICTURES
    ]
    if (refused := facts.refusal(requests[0])) is not None:
        raise UsageError(f"{name}: {refused[1]}; name a manifest in its place, whose pictures suit it")
    return Basis(facts.name, bundle, facts.content, requests)


def basis_of_manifest(manifest: Manifest, models: Models) -> Basis:
    """The first pictures of the manifest that differ in their prompts alone, without their losses."""
    plan = build_plan(manifest, models.facts, {}, lambda: 1)
    first = plan.jobs[0]
    found: dict[str, RenderRequest] = {}
    for job in plan.jobs:
        own = replace(job.request, losses=())
        alike = replace(own, prompt=first.request.prompt, seed=first.request.seed)
        if job.bundle == first.bundle and alike == replace(first.request, losses=()):
            found.setdefault(own.prompt, own)
        if len(found) == len(PICTURES):
            break
    facts = plan.facts(first.bundle)
    return Basis(facts.name, models.by_hash[first.bundle], facts.content, list(found.values()))


def measure_scales(basis: Basis, settings: Settings, cache: Path, say: Callable[[str], None]) -> Scales:
    """Measure, and keep what was found; say: hears how long it takes. Raises as rendering does."""
    names = [name for name, loss in LOSSES.items() if not loss.pictures]
    asked = [(name, number) for name in names for number in range(len(basis.requests))]
    requests = {key: _probing(basis.requests[key[1]], key[0]) for key in asked}
    executor = LocalExecutor({basis.bundle.hash: basis.bundle}, settings, cache, say)
    executor.open(basis.bundle.hash, list(requests.values()))
    # The first picture tells how long the others take, a little too long: they share their calls.
    began = time.monotonic()
    pushes: dict[str, list[float]] = {name: [] for name in names}
    for part in (asked[:1], asked[1:]):
        for rendered in executor.render((key, requests[key]) for key in part):
            if rendered.error is not None:
                raise LatentpressError(f"{rendered.key[0]}: {rendered.error}")
            pushes[rendered.key[0]].append(max((one.share for one in rendered.guided), default=0.0) / _PROBE)
        if part == asked[:1]:
            expected = duration((time.monotonic() - began) * (len(asked) - 1))
            say(f"{counted(len(asked), 'picture')} to render on {basis.name}, at most {expected}")
    found = {name: _useful(statistics.median(some)) for name, some in pushes.items()}
    _keep(basis, found, cache / FILE)
    return found


def known_scales(basis: Basis, cache: Path) -> Scales | None:
    """What was measured of the like before; None where nothing was."""
    kept = _read(cache / FILE).get(_key(basis))
    if not isinstance(kept, dict):
        return None
    found: dict[str, tuple[float, float] | None] = {}
    for name, span in kept.items():  # pyright: ignore[reportUnknownVariableType]
        match span:
            case [float() | int() as least, float() | int() as most]:
                found[str(name)] = (float(least), float(most))  # pyright: ignore[reportUnknownArgumentType]
            case _:
                found[str(name)] = None  # pyright: ignore[reportUnknownArgumentType]
    return found


def scales_text(span: tuple[float, float] | None) -> str:
    """A span of scales for people, in two digits."""
    return "not known" if span is None else f"{_rounded(span[0]):g} to {_rounded(span[1]):g}"


def _probing(request: RenderRequest, name: str) -> RenderRequest:
    """The picture with a push that changes nothing, as strong as the gradient is, whose length is told step by step."""
    return replace(request, losses=(LossSpec(name, _PROBE, params=LOSSES[name].params().complete(), step="raw"),))


def _useful(push: float) -> tuple[float, float] | None:
    """The scales at which the longest move is LEAST and the cap, where a scale of 1 moves x0 by `push` of its length."""
    return (LEAST / push, DEFAULT_CAP / push) if push > 0 else None


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")


def _key(basis: Basis) -> str:
    return f"{basis.content} {basis.about}"


def _keep(basis: Basis, found: Scales, path: Path) -> None:
    whole = _read(path) | {_key(basis): {name: None if span is None else list(span) for name, span in found.items()}}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, json.dumps(whole, indent=1).encode())


def _read(path: Path) -> dict[str, object]:
    """What was kept; nothing where the file cannot be read, which is then made anew."""
    try:
        found: object = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]
