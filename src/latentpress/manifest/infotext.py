"""What fields say in the A1111 `parameters` of a picture, where that takes more than a number: `Key: value` pairs.

A1111's keys where it has one for the thing, in its words; others are our own, and its readers show them as they are.
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import PurePath

from latentpress.runtime.facts import BundleFacts, Bundles
from latentpress.runtime.guidance.labels import loss_labels
from latentpress.runtime.request import LossSpec, MicroConditioning, RenderRequest
from latentpress.runtime.sampling.samplers import parse_sampler

Pairs = Mapping[str, str]
# Lists of `name: hash`, which stand in quotes.
LORA_HASHES, TI_HASHES = "Lora hashes", "TI hashes"
QUOTED = (LORA_HASHES, TI_HASHES)
# Hexadecimal digits in those lists, and in all other hashes.
_SHORT, _AUTO_V2 = 12, 10
# What A1111 reads as weights where nothing says otherwise.
_EMPHASIS = re.compile(r"[()\[\]]")
_MICRO = MicroConditioning()
_LOSS = LossSpec("", 1.0)


def seed_parameters(request: RenderRequest, facts: BundleFacts, bundles: Bundles) -> Pairs:
    """The seed, and that noise is drawn on the CPU: who reads no RNG takes it for the GPU's, which is another picture."""
    return {"Seed": str(request.seed), "RNG": "CPU"}


def sampler_parameters(request: RenderRequest, facts: BundleFacts, bundles: Bundles) -> Pairs:
    """A1111's names of the sampler and its schedule; the spacing is a key of our own."""
    sampler = parse_sampler(request.sampler)
    pairs = {"Sampler": sampler.base.label}
    if sampler.sigmas:
        pairs["Schedule type"] = sampler.sigmas.capitalize()
    if sampler.spacing:
        pairs["Timestep spacing"] = sampler.spacing
    return pairs


def model_parameters(request: RenderRequest, facts: BundleFacts, bundles: Bundles) -> Pairs:
    """The checkpoint, and what was fused into it."""
    pairs = {"Model hash": facts.source_sha256[:_AUTO_V2], "Model": facts.name}
    if facts.vae:
        pairs |= {"VAE": facts.vae.source, "VAE hash": facts.vae.sha256[:_AUTO_V2]}
    if facts.loras:
        # Fused, so not in the prompt, where A1111 has their scales: FILE SCALE [HASH] each.
        pairs["LoRA"] = " + ".join(f"{lora.source} {lora.scale:g} [{lora.sha256[:_AUTO_V2]}]" for lora in facts.loras)
    if known := {PurePath(lora.source).stem: lora.a1111_hash for lora in facts.loras if lora.a1111_hash}:
        pairs[LORA_HASHES] = hash_list(known)
    return pairs


def refiner_parameters(request: RenderRequest, facts: BundleFacts, bundles: Bundles) -> Pairs:
    """The refiner, by the name and hash of its checkpoint."""
    if request.refiner is None:
        return {}
    sha256 = request.refiner.sha256
    refiner = next(other for other in bundles.values() if other.hash == sha256)
    return {
        "Refiner": f"{refiner.name} [{refiner.source_sha256[:_AUTO_V2]}]",
        "Refiner switch at": f"{request.refiner.switch_at:g}",
    }


def loss_parameters(request: RenderRequest, facts: BundleFacts, bundles: Bundles) -> Pairs:
    """The losses, of several one after another; when they act, and what they aim at."""
    losses = request.losses
    if not losses:
        return {}
    pairs = {
        "Loss guidance": "+".join(loss_labels(losses)),
        "Loss scale": "+".join(f"{loss.scale:g}" for loss in losses),
        "Loss every": "+".join(str(loss.every) for loss in losses),
    }
    if any((loss.start, loss.stop) != (0, 1) for loss in losses):
        pairs["Loss start"] = "+".join(f"{loss.start:g}" for loss in losses)
        pairs["Loss stop"] = "+".join(f"{loss.stop:g}" for loss in losses)
    if any(loss.code for loss in losses):
        pairs["Loss code"] = "+".join(loss.code.sha256[:_SHORT] if loss.code else "built-in" for loss in losses)
    if any(steps := [_step(loss) for loss in losses]):
        pairs["Loss step"] = " + ".join(said or "default" for said in steps)
    if any(methods := [_method(loss) for loss in losses]):
        pairs["Loss method"] = " + ".join(said or "default" for said in methods)
    if any(loss.params or loss.files for loss in losses):
        files = ({name: file.sha256[:_SHORT] for name, file in loss.files.items()} for loss in losses)
        each = ({**loss.params, **known} for loss, known in zip(losses, files, strict=True))
        own = (" ".join(f"{key}={_number(value)}" for key, value in params.items()) for params in each)
        pairs["Loss parameters"] = " + ".join(said or "none" for said in own)
    return pairs


def _step(loss: LossSpec) -> str:
    """How a loss moves the picture, where that is not how it does by default."""
    own = {key: getattr(loss, key) for key in ("cap", "size", "warm_up")}
    said = [f"{key}={value:g}" for key, value in own.items() if value != getattr(_LOSS, key)]
    return " ".join([*([loss.step] if loss.step else []), *said, *(["clamp"] if loss.clamp else [])])


def _method(loss: LossSpec) -> str:
    """Where the gradient is taken, where that is not where it is by default."""
    own = {key: getattr(loss, key) for key in ("iterations", "samples", "spread")}
    said = [f"{key}={value:g}" for key, value in own.items() if value != getattr(_LOSS, key)]
    return " ".join([*([loss.method] if loss.method else []), *said])


def micro_parameters(request: RenderRequest, facts: BundleFacts, bundles: Bundles) -> Pairs:
    """What SDXL is told that is not what it is told by default; sizes as WIDTHxHEIGHT, offsets as TOP+LEFT."""
    pairs: dict[str, str] = {}
    for one in fields(MicroConditioning):
        value = getattr(request.micro, one.name)
        if value != getattr(_MICRO, one.name):
            key = one.name.replace("_", " ").capitalize()
            if one.name.endswith("size"):
                pairs[key] = f"{value[1]}x{value[0]}"
            else:
                pairs[key] = "+".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}"
    return pairs


def weighting_parameters(request: RenderRequest, facts: BundleFacts, bundles: Bundles) -> Pairs:
    """A1111's name for what its dialect does with weights; `None` where it would see weights in what are characters."""
    if request.prompt_weighting == "a1111":
        return {"Emphasis": "Original"}
    if request.prompt_weighting != "none":
        return {"Prompt weighting": request.prompt_weighting}
    brackets = any(map(_EMPHASIS.search, (request.prompt, request.negative_prompt or "")))
    return {"Emphasis": "None"} if brackets else {}


def hash_list(hashes: Mapping[str, str]) -> str:
    """`name: hash, name: hash`; names without what parts them."""
    return ", ".join(f"{_unquoted(name)}: {digest[:_SHORT]}" for name, digest in hashes.items())


def written(pairs: Pairs) -> str:
    """`pairs` as the last line of `parameters`: values without what the format cannot escape."""
    return ", ".join(f"{key}: {_value(key, text)}" for key, text in pairs.items())


def _value(key: str, text: str) -> str:
    return f'"{text}"' if key in QUOTED else _plain(text)


def _plain(text: str) -> str:
    """`text` without commas and colons: readers that know of quotes are fewer than those that do not."""
    return " ".join(text.replace(",", " ").replace(":", " ").split())


def _unquoted(text: str) -> str:
    return _plain(text.replace('"', " ").replace("\\", " "))


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
