"""What a PNG says of itself: the A1111 `parameters` text, and `latentpress`, our exact JSON. No clock, no machine, no name.

A function of the job, the bundles and what decides pixels beside them: the same picture is the same bytes whoever
rendered it, so twins under two names are equal files and a resumed render equals an uninterrupted one. On what machine,
with which packages and when it was made stands in the ledger.
"""

from collections.abc import Mapping

from latentpress.batch.plan.identity import VERSION, Model, facts_by_hash, hashed_data, identity_of
from latentpress.batch.plan.job import Job, canonical_json, request_data
from latentpress.engines.choice import engine_called
from latentpress.engines.strict import ANY_ROWS, UNTESTED
from latentpress.manifest.fields import parameters_of
from latentpress.manifest.infotext import TI_HASHES, hash_list, written
from latentpress.runtime.facts import BundleFacts, Bundles
from latentpress.runtime.request import Origin
from latentpress.runtime.rules import numbers

# In A1111's own order, which its readers know; the other keys follow.
_FIRST = ("Steps", "Sampler", "Schedule type", "Timestep spacing", "CFG scale", "Seed", "Size", "Model hash", "Model")


def text_chunks(job: Job, bundles: Bundles, origin: Origin, pixels: str) -> dict[str, str]:
    """Keyword -> text of every text chunk of the job's PNG.

    pixels: `png.pixel_sha256` of the picture, by which it can be told later from a retouched one. Of the origin: the
    engine and its precision, and the row rule where pixels depend on more than the job.
    """
    request, facts = job.request, facts_by_hash(bundles, job.bundle)
    identity = identity_of(request, facts, bundles)
    own: dict[str, object] = {
        "bundle": _bundle_data(facts, identity.model),
        "concepts": dict(identity.model.concepts),
        "engine": engine_called(origin.provider),
        "identity": VERSION,
        "job_hash": job.job_hash,
        "pixel_sha256": pixels,
        "request": hashed_data(request_data(request)),
    }
    if rules := numbers(facts.rules(request)):
        own["rules"] = rules
    # Else the pixels depend on the job alone, for all that is known, and the picture says nothing of rows.
    if origin.row_rule not in (ANY_ROWS, UNTESTED):
        own["rows"] = origin.row_rule
    if request.refiner is not None and identity.refiner is not None:
        refiner = facts_by_hash(bundles, request.refiner.sha256)
        own["refiner"] = _bundle_data(refiner, identity.refiner) | {"concepts": dict(identity.refiner.concepts)}
    return {"parameters": a1111_parameters(job, bundles), "latentpress": canonical_json(own)}


def a1111_parameters(job: Job, bundles: Bundles) -> str:
    """The job in A1111's format: prompt, negative prompt, then one line of `Key: value` pairs.

    The line of the negative prompt is always there: ComfyUI reads nothing where it is not.
    """
    request, facts = job.request, facts_by_hash(bundles, job.bundle)
    pairs: Mapping[str, str] = parameters_of(request, facts, bundles)
    used = identity_of(request, facts, bundles).model.concepts
    taught = {token.strip("<>"): facts.concepts[token] for token in used if token in facts.concepts}
    pairs = {**pairs, TI_HASHES: hash_list(taught)} if taught else pairs
    ordered = {key: pairs[key] for key in _FIRST if key in pairs} | pairs | {"Version": "latentpress"}
    return f"{request.prompt}\nNegative prompt: {request.negative_prompt or ''}\n{written(ordered)}"


def _bundle_data(bundle: BundleFacts, model: Model) -> dict[str, object]:
    data: dict[str, object] = {
        "content": model.content,
        "name": bundle.name,
        "source_sha256": bundle.source_sha256,
    }
    if bundle.loras:
        data["loras"] = [{"source": lora.source, "sha256": lora.sha256, "scale": lora.scale} for lora in bundle.loras]
    if bundle.vae:
        data["vae"] = {"source": bundle.vae.source, "sha256": bundle.vae.sha256}
    if bundle.base:
        data["base"] = {"source": bundle.base.source, "sha256": bundle.base.sha256}
    return data
