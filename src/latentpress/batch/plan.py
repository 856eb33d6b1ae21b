"""From drafts to a plan: sizes and seeds settled, jobs hashed, names checked. Pure: reads no file, asks no clock."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from latentpress.batch.job import Job, canonical_json, hash_job, request_data
from latentpress.errors import short, shown
from latentpress.manifest import names
from latentpress.manifest.draft import Draft
from latentpress.manifest.fields import DRAWN
from latentpress.manifest.manifest import Manifest, SheetSpec
from latentpress.manifest.nodes import Problems
from latentpress.models import BundleFacts
from latentpress.runtime.prompts import Reading
from latentpress.runtime.prompts.parts import PromptCheck
from latentpress.runtime.request import Refiner, RenderRequest

SHEET_NAME = "sheet.png"


@dataclass(frozen=True)
class Plan:
    """Everything that will be rendered, in order. `draws` are the seeds behind -1, to be frozen in the ledger.

    chunks: the most chunks that any prompt takes, 1 unless one is longer than the text encoders' limit and not cut.
    """

    name: str
    jobs: tuple[Job, ...]
    bundle: BundleFacts
    plan_hash: str
    draws: Mapping[str, int]
    undrawn: int
    warnings: tuple[str, ...]
    sheet: SheetSpec | None
    chunks: int
    groups: Mapping[str, tuple[Job, ...]] = field(repr=False)


def build_plan(manifest: Manifest, bundle: BundleFacts, frozen: Mapping[str, int], draw: Callable[[], int]) -> Plan:
    """Plan `manifest` on `bundle`; `frozen` are the seeds drawn before, `draw` gives those still to be drawn.

    Raises ManifestError listing every prompt and name that cannot be rendered.
    """
    problems = Problems()
    warnings, chunks = _check_prompts(manifest.drafts, bundle, problems)
    requests, draws = _settle(manifest.drafts, bundle, frozen, draw)
    _check_limits(manifest, requests, bundle, problems)
    jobs: list[Job] = []
    for index, (draft, request) in enumerate(zip(manifest.drafts, requests, strict=True), 1):
        digest = hash_job(request, bundle.hash)
        labels = {
            **draft.labels,
            "size": draft.labels["size"] or f"{request.width}x{request.height}",
            "seed": draft.labels.get("seed", str(request.seed)),
        }
        texts = {key: names.safe(text) for key, text in labels.items()} | {"index": str(index), "hash": digest}
        output = names.fill(manifest.output, texts)
        jobs.append(Job(index, draft.id, request, labels, PurePosixPath(output), digest))
        if trouble := names.path_problem(output):
            problems.add(manifest.output_place, f"output name {shown(output)} {trouble}")
    _check_collisions(manifest, jobs, problems)
    problems.raise_if_any()
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.job_hash, []).append(job)
    listing = canonical_json([[str(job.output), job.job_hash] for job in jobs])
    return Plan(
        name=manifest.name,
        jobs=tuple(jobs),
        bundle=bundle,
        plan_hash=hashlib.sha256(listing.encode()).hexdigest(),
        draws=draws,
        undrawn=len(draws.keys() - frozen.keys()),
        warnings=tuple(warnings),
        sheet=manifest.sheet,
        chunks=chunks,
        groups={digest: tuple(twins) for digest, twins in groups.items()},
    )


def _settle(
    drafts: Sequence[Draft], bundle: BundleFacts, frozen: Mapping[str, int], draw: Callable[[], int]
) -> tuple[list[RenderRequest], dict[str, int]]:
    """The request of each draft, and the seed behind each -1, under a key that survives edits elsewhere."""
    seen: Counter[str] = Counter()
    draws: dict[str, int] = {}
    requests: list[RenderRequest] = []
    for draft in drafts:
        height, width = draft.size or bundle.default_size
        request = RenderRequest(
            prompt=draft.prompt,
            seed=draft.seed,
            height=height,
            width=width,
            sampler=draft.sampler,
            steps=draft.steps,
            guidance_scale=draft.guidance_scale,
            negative_prompt=draft.negative_prompt if bundle.zeros_for_no_negative else draft.negative_prompt or "",
            losses=draft.losses,
            guidance_rescale=draft.guidance_rescale,
            guidance_stop=draft.guidance_stop,
            eta=draft.eta,
            clip_skip=draft.clip_skip,
            init_image=draft.init_image,
            mask_image=draft.mask_image,
            strength=draft.strength,
            refiner=draft.refiner and Refiner(bundle.refiners[draft.refiner.model].hash, draft.refiner.switch_at),
            micro=draft.micro,
            prompt_weighting=draft.reading.weighting,
            long_prompts=draft.reading.long_prompts,
        )
        if draft.seed == DRAWN:
            text = canonical_json([draft.id, request_data(request)])
            seen[text] += 1
            key = hashlib.sha256(f"{seen[text]}:{text}".encode()).hexdigest()
            draws[key] = frozen[key] if key in frozen else draw()
            request = replace(request, seed=draws[key])
        requests.append(request)
    return requests, draws


def _check_limits(
    manifest: Manifest, requests: Sequence[RenderRequest], bundle: BundleFacts, problems: Problems
) -> None:
    """Report what the bundle cannot do, where the manifest asks for it."""
    for draft, request in zip(manifest.drafts, requests, strict=True):
        if (refused := bundle.refusal(request)) is not None:
            name, why = refused
            problems.add(manifest.model_place if name == "model" else draft.places.get(name, draft.prompt_place), why)


def _check_prompts(drafts: Sequence[Draft], bundle: BundleFacts, problems: Problems) -> tuple[list[str], int]:
    """Report prompts that cannot be read as asked, and words that look like concepts and are none.

    Returns warnings for what would be cut or misread, and the most chunks that a prompt takes.
    """
    warnings: dict[str, None] = {}
    verdicts: dict[tuple[str, str, Reading], PromptCheck] = {}
    for draft in drafts:
        refiner = bundle.refiners[draft.refiner.model] if draft.refiner else None
        negative_place = draft.places.get("negative_prompt", draft.prompt_place)
        for text, place in ((draft.prompt, draft.prompt_place), (draft.negative_prompt or "", negative_place)):
            for facts in (refiner, bundle) if refiner else (bundle,):
                found = _verdict(facts, text, draft.reading, verdicts)
                _check_unknown(draft, found, facts, problems)
                if found.fault:
                    problems.add(place, found.fault)
            verdict = _verdict(bundle, text, draft.reading, verdicts)
            if verdict.cut:
                over = verdict.tokens - verdict.limit
                warnings.setdefault(
                    f"{draft.prompt_place}: warning: the prompt is {verdict.tokens} tokens long, {over} over the "
                    f"limit of {verdict.limit}; this is cut off: {shown(verdict.cut)}"
                )
            for marker in ("\nNegative prompt:", "\nSteps:"):
                if marker in text:
                    warnings.setdefault(
                        f"{draft.prompt_place}: warning: the prompt holds a line beginning {marker.strip()!r}, which "
                        "readers of the `parameters` text take for their own; the `latentpress` text stays exact"
                    )
    return list(warnings), max((verdict.chunks for verdict in verdicts.values()), default=1)


def _verdict(
    bundle: BundleFacts, text: str, reading: Reading, known: dict[tuple[str, str, Reading], PromptCheck]
) -> PromptCheck:
    key = bundle.hash, text, reading
    if key not in known:
        known[key] = bundle.check(text, reading)
    return known[key]


def _check_unknown(draft: Draft, verdict: PromptCheck, bundle: BundleFacts, problems: Problems) -> None:
    for token in verdict.unknown:
        known = ", ".join(bundle.concepts) or "none"
        problems.add(
            draft.prompt_place,
            f"{short(token)} in the prompt looks like a concept, but the bundle has none of that name; "
            f"name its file under `concepts`, or use one of: {known}",
        )


def _check_collisions(manifest: Manifest, jobs: Sequence[Job], problems: Problems) -> None:
    place = manifest.output_place
    way_out = "add a placeholder such as {seed}, {index} or {hash:12}, or a label"
    # Placeholders fill in no `/` and no part may be empty, so every name has the template's number of parts: no file
    # can lie where another job needs a folder. The sheet's name is not of the template, so it is looked for in both.
    first: dict[str, Job] = {}
    if manifest.sheet:
        for job in jobs:
            if names.collision_key(job.output.parts[0]) == SHEET_NAME:
                what = "needs a folder named as" if len(job.output.parts) > 1 else "would be written over"
                problems.add(place, f"{job.title} {what} the contact sheet {SHEET_NAME}; rename it")
    for job in jobs:
        output = str(job.output)
        other = first.setdefault(names.collision_key(output), job)
        if other is not job:
            problems.add(place, f"{other.title} and {job.title} both have the output name {shown(output)}; {way_out}")
