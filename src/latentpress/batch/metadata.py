"""What a PNG says of itself: the A1111 `parameters` text, and `latentpress`, our exact JSON. No wall clock, no names.

The same job gives the same bytes, so twins under two names are equal files and a resumed render equals an
uninterrupted one.
"""

from latentpress import __version__
from latentpress.batch.job import Job, canonical_json, request_data
from latentpress.engines.strict import ANY_ROWS, UNTESTED
from latentpress.models import BundleFacts
from latentpress.runtime.sampling.samplers import parse_sampler


def text_chunks(job: Job, bundle: BundleFacts, engine: str, row_rule: str) -> dict[str, str]:
    """Keyword -> text of every text chunk of the job's PNG.

    engine: what the UNet ran on, e.g. openvino-bf16; row_rule: what the pixels depend on beside (engines/strict.py).
    """
    used = {token: digest for token, digest in bundle.concepts.items() if token in job.request.prompt}
    negative = job.request.negative_prompt or ""
    used |= {token: digest for token, digest in bundle.concepts.items() if token in negative}
    own: dict[str, object] = {
        "bundle": _bundle_data(bundle),
        "concepts": used,
        "engine": engine,
        "job_hash": job.job_hash,
        "request": request_data(job.request),
        "versions": {**bundle.versions, "latentpress": __version__},
    }
    # Else the pixels depend on the job alone, for all that is known, and the picture says nothing of rows.
    if row_rule not in (ANY_ROWS, UNTESTED):
        own["rows"] = row_rule
    if (refiner := _refiner(job, bundle)) is not None:
        own["refiner"] = _bundle_data(refiner)
    return {"parameters": a1111_parameters(job, bundle), "latentpress": canonical_json(own)}


def a1111_parameters(job: Job, bundle: BundleFacts) -> str:
    """The job in A1111's format: prompt, negative prompt, then one line of `Key: value` pairs."""
    request = job.request
    sampler = parse_sampler(request.sampler)
    pairs = {"Steps": str(request.steps), "Sampler": sampler.base.label}
    if sampler.sigmas:
        pairs["Schedule type"] = sampler.sigmas.capitalize()
    if sampler.spacing:  # a key of our own
        pairs["Timestep spacing"] = sampler.spacing
    pairs |= {
        "CFG scale": f"{request.guidance_scale:g}",
        "Seed": str(request.seed),
        "Size": f"{request.width}x{request.height}",
        "Model hash": bundle.source_sha256[:10],
        "Model": bundle.name,
    }
    if bundle.vae:
        pairs |= {"VAE": bundle.vae.source, "VAE hash": bundle.vae.sha256[:10]}
    if bundle.loras:
        # Fused, so not in the prompt, where A1111 has them: FILE SCALE [HASH] each.
        pairs["LoRA"] = " + ".join(f"{lora.source} {lora.scale:g} [{lora.sha256[:10]}]" for lora in bundle.loras)
    # A1111 counts the layer it stops at, from 1; the others are keys of its own and of its extensions.
    if request.clip_skip:
        pairs["Clip skip"] = str(request.clip_skip + 1)
    if request.init_image:
        pairs["Denoising strength"] = f"{request.strength:g}"
        pairs["Init image hash"] = request.init_image.sha256[:10]
    if request.mask_image:
        pairs["Mask image hash"] = request.mask_image.sha256[:10]
    if request.refiner and (refiner := _refiner(job, bundle)):
        pairs["Refiner"] = f"{refiner.name} [{refiner.source_sha256[:10]}]"
        pairs["Refiner switch at"] = f"{request.refiner.switch_at:g}"
    if request.eta:
        pairs["Eta DDIM"] = f"{request.eta:g}"
    if request.guidance_rescale:
        pairs["CFG rescale"] = f"{request.guidance_rescale:g}"
    if request.guidance_stop < 1:
        pairs["CFG stop"] = f"{request.guidance_stop:g}"
    # A1111's name, and its name for what its dialect does with the weights.
    if request.prompt_weighting == "a1111":
        pairs["Emphasis"] = "Original"
    elif request.prompt_weighting != "none":
        pairs["Prompt weighting"] = request.prompt_weighting
    if request.long_prompts != "truncate":  # A1111 has no key for what it always does
        pairs["Long prompts"] = request.long_prompts
    if request.losses:
        pairs["Loss guidance"] = "+".join(loss.name for loss in request.losses)
        pairs["Loss scale"] = "+".join(f"{loss.scale:g}" for loss in request.losses)
    pairs["Version"] = f"latentpress {__version__}"
    negative = f"\nNegative prompt: {request.negative_prompt}" if request.negative_prompt else ""
    return f"{request.prompt}{negative}\n" + ", ".join(f"{key}: {_value(text)}" for key, text in pairs.items())


def _bundle_data(bundle: BundleFacts) -> dict[str, object]:
    data: dict[str, object] = {"name": bundle.name, "sha256": bundle.hash, "source_sha256": bundle.source_sha256}
    if bundle.loras:
        data["loras"] = [{"source": lora.source, "sha256": lora.sha256, "scale": lora.scale} for lora in bundle.loras]
    if bundle.vae:
        data["vae"] = {"source": bundle.vae.source, "sha256": bundle.vae.sha256}
    return data


def _refiner(job: Job, bundle: BundleFacts) -> BundleFacts | None:
    """The facts of the job's refiner, None where it has none."""
    wanted = job.request.refiner.sha256 if job.request.refiner else None
    return next((refiner for refiner in bundle.refiners.values() if refiner.hash == wanted), None)


def _value(text: str) -> str:
    """`text` without what the format cannot escape."""
    return " ".join(text.replace(",", " ").replace(":", " ").split())
