"""What a picture says of itself: A1111's `parameters`, `latentpress`, our exact JSON, and XMP. No clock, machine or name.

A function of the job, the bundles and what decides pixels beside them: the same picture is the same bytes whoever
rendered it, so twins under two names are equal files and a resumed render equals an uninterrupted one. On what machine,
with which packages and when it was made stands in the ledger.
"""

from collections.abc import Mapping

from latentpress.batch.pictures.guided import Guided
from latentpress.batch.pictures.xmp import KEYWORD as XMP
from latentpress.batch.pictures.xmp import Described, xmp_packet
from latentpress.batch.plan.identity import VERSION, Identity, Model, facts_by_hash, hashed_data, identity_of
from latentpress.batch.plan.job import Job, canonical_json, request_data
from latentpress.engines.choice import engine_called, gradient_called
from latentpress.engines.session import TORCH
from latentpress.engines.strict import ANY_ROWS, UNTESTED
from latentpress.manifest.fields import parameters_of
from latentpress.manifest.infotext import TI_HASHES, hash_list, written
from latentpress.runtime.facts import BundleFacts, Bundles
from latentpress.runtime.request import Origin, RenderRequest
from latentpress.runtime.rules import numbers
from latentpress.runtime.sampling.samplers import parse_sampler

# Of the `latentpress` text (docs/metadata.md); earlier texts have none. It rises where a key goes or changes its meaning.
TEXT_VERSION = 1
# In A1111's own order, which its readers know; the other keys follow.
_FIRST = ("Steps", "Sampler", "Schedule type", "Timestep spacing", "CFG scale", "Seed", "Size", "Model hash", "Model")


def text_chunks(
    job: Job, bundles: Bundles, origin: Origin, pixels: str, guided: Guided | None = None
) -> dict[str, str]:
    """Keyword -> each text of the job's picture; in a PNG they are chunks.

    pixels: `png.pixel_sha256` of the picture, by which it can be told later from a retouched one. Of the origin: the
    engine and its precision, what computed the losses' gradients, and the row rule where pixels depend on more than the
    job; guided: what losses did.
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
        "version": TEXT_VERSION,
    }
    if guided is not None:
        own["guided"] = guided
    if rules := numbers(facts.rules(request)):
        own["rules"] = rules
    # Else the pixels depend on the job alone, for all that is known, and the picture says nothing of rows.
    if origin.row_rule not in (ANY_ROWS, UNTESTED):
        own["rows"] = origin.row_rule
    # Without it the gradients are torch's, as they were before engines computed them.
    if origin.gradient not in ("", TORCH.stored):
        own["gradient"] = gradient_called(origin.gradient)
    if request.refiner is not None and identity.refiner is not None:
        refiner = facts_by_hash(bundles, request.refiner.sha256)
        own["refiner"] = _bundle_data(refiner, identity.refiner) | {"concepts": dict(identity.refiner.concepts)}
    return {
        "parameters": _parameters(request, facts, bundles, identity),
        "latentpress": canonical_json(own),
        XMP: xmp_packet(_described(request, facts)),
    }


def a1111_parameters(job: Job, bundles: Bundles) -> str:
    """The job in A1111's format: prompt, negative prompt, then one line of `Key: value` pairs.

    The line of the negative prompt is always there: ComfyUI reads nothing where it is not.
    """
    request, facts = job.request, facts_by_hash(bundles, job.bundle)
    return _parameters(request, facts, bundles, identity_of(request, facts, bundles))


def _parameters(request: RenderRequest, facts: BundleFacts, bundles: Bundles, identity: Identity) -> str:
    pairs: Mapping[str, str] = parameters_of(request, facts, bundles)
    taught = {token.strip("<>"): facts.concepts[token] for token in identity.model.concepts if token in facts.concepts}
    pairs = {**pairs, TI_HASHES: hash_list(taught)} if taught else pairs
    ordered = {key: pairs[key] for key in _FIRST if key in pairs} | pairs | {"Version": "latentpress"}
    return f"{request.prompt}\nNegative prompt: {request.negative_prompt or ''}\n{written(ordered)}"


def _alt(prompt: str) -> str:
    """What a picture shows, in a sentence for those who cannot see it: nobody knows but by its prompt."""
    return f"Generated picture: {' '.join(prompt.split())}" if prompt.strip() else "Generated picture without a prompt"


def _described(request: RenderRequest, facts: BundleFacts) -> Described:
    prompt = " ".join(request.prompt.split())
    label = parse_sampler(request.sampler).base.label
    return Described(
        title=prompt or f"Seed {request.seed}",
        description=(
            f"Generated by the model {facts.name} from the prompt: {prompt or 'none'} (seed {request.seed}, {request.steps} "
            f"steps of {label}, CFG scale {request.guidance_scale:g}, {request.width}x{request.height})"
        ),
        alt=_alt(request.prompt),
        prompt=request.prompt,
        system=f"Stable Diffusion, model {facts.name}, rendered by latentpress",
        version=f"sha256 of the checkpoint: {facts.source_sha256[:12]}",
        redrawn=request.mask_image is not None,
    )


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
