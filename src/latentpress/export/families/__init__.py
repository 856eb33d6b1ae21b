"""The table of model families, their published configurations and CLIP's tokenizer, shipped so that no export asks a hub.

FAMILY/COMPONENT.json is the configuration of Stable Diffusion 1.5, 2.1, SDXL 1.0 base and SDXL 1.0 refiner, as diffusers
and transformers name its entries; FAMILY/model_index.json the pipeline's class and settings.
"""

import gzip
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from latentpress.errors import UsageError, shown
from latentpress.export.families.clip_files import write_clip_files
from latentpress.export.families.family import Family, Latents, TextEncoder
from latentpress.export.families.sd1 import SD1
from latentpress.export.families.sd2 import SD2
from latentpress.export.families.sdxl import SDXL, SDXL_REFINER

# Where two could be meant, the first is.
FAMILIES: dict[str, Family] = {family.name: family for family in (SD1, SD2, SDXL, SDXL_REFINER)}
# The table in words, for whoever brings something else.
ALL_FAMILIES = "Stable Diffusion 1 and 2, SDXL, its refiner"
CLIP_VOCABULARY = 49408


def family_named(name: str) -> Family:
    """The family called `name`, e.g. sdxl_refiner; raises UsageError."""
    if name not in FAMILIES:
        raise UsageError(f"family {shown(name)} is unknown; it must be one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


def pipelines() -> tuple[str, ...]:
    """diffusers' pipeline classes whose folders can be exported."""
    return tuple(dict.fromkeys(name for family in FAMILIES.values() for name in family.pipelines))


def family_for(pipeline: str, named: Collection[str], unet: Any = None) -> Family:
    """The family of a folder whose model_index.json names the class `pipeline` and the text encoders `named`.

    unet: the configuration of its denoiser, which tells apart families with the same text encoders; without it the
    family's components are right already. A folder that lacks a text encoder is of the family it lacks least of.
    """

    def misfit(family: Family) -> tuple[int, int, int]:
        own = {encoder.name for encoder in family.text_encoders}
        marks = family.denoiser.marks
        met = unet is not None and all(getattr(unet, key, None) == value for key, value in marks.items())
        return len(set(named) - own), len(own - set(named)), -len(marks) if met else len(marks)

    every = tuple(FAMILIES.values())
    # A pipeline that is named nowhere has the parts of one of ours: they decide.
    return min([family for family in every if pipeline in family.pipelines] or every, key=misfit)


def family_config(family: Family, component: str) -> dict[str, Any]:
    """The published configuration of unet, vae, scheduler, text_encoder, text_encoder_2 or model_index; a fresh copy."""
    return json.loads((family.configurations / f"{component}.json").read_bytes())


def denoiser_config(family: Family) -> dict[str, Any]:
    """The published configuration of the family's denoiser; a fresh copy."""
    return family_config(family, family.denoiser.component.name)


def latents_of(family: Family) -> Latents:
    """The latents of the family's published VAE."""
    config = family_config(family, family.vae.name)
    return Latents(config["latent_channels"], config["scaling_factor"], config.get("shift_factor"))


def write_clip_tokenizer(folder: Path, encoder: TextEncoder) -> int:
    """Write the CLIPTokenizer files of a text encoder into `folder`; returns the vocabulary's size."""
    packed = Path(__file__).parent / "clip_merges.txt.gz"
    lines = gzip.decompress(packed.read_bytes()).decode("utf-8").splitlines()
    merges = [(first, second) for first, second in (line.split() for line in lines[1:])]
    return write_clip_files(folder, merges, max_length=77, pad=encoder.pad)
