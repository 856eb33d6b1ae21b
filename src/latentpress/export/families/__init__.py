"""The published configurations of each model family and CLIP's tokenizer, shipped so that no export asks a hub.

FAMILY/COMPONENT.json is the configuration of Stable Diffusion 1.5, 2.1, SDXL 1.0 base and SDXL 1.0 refiner, as diffusers
and transformers name its entries; FAMILY/model_index.json the pipeline's class and settings.
"""

import gzip
import json
from pathlib import Path
from typing import Any

from latentpress.bundle.info import Family
from latentpress.export.families.clip_files import EOS, write_clip_files

# What people call each family, in messages.
TITLES: dict[Family, str] = {
    "sd1": "Stable Diffusion 1",
    "sd2": "Stable Diffusion 2",
    "sdxl": "SDXL",
    "sdxl_refiner": "the SDXL refiner",
}
TEXT_ENCODERS: dict[Family, tuple[str, ...]] = {
    "sd1": ("text_encoder",),
    "sd2": ("text_encoder",),
    "sdxl": ("text_encoder", "text_encoder_2"),
    "sdxl_refiner": ("text_encoder_2",),
}
CLIP_VOCABULARY = 49408
_HERE = Path(__file__).parent


def family_config(family: Family, component: str) -> dict[str, Any]:
    """The published configuration of unet, vae, scheduler, text_encoder, text_encoder_2 or model_index; a fresh copy."""
    return json.loads((_HERE / family / f"{component}.json").read_bytes())


def write_clip_tokenizer(folder: Path, family: Family, component: str) -> int:
    """Write the CLIPTokenizer files of a family's text encoder `component` into `folder`; returns the vocabulary's size.

    OpenCLIP's tokenizers (SD 2, SDXL's second) fill a prompt up with "!", id 0, CLIP's own with the end token.
    """
    lines = gzip.decompress((_HERE / "clip_merges.txt.gz").read_bytes()).decode("utf-8").splitlines()
    merges = [(first, second) for first, second in (line.split() for line in lines[1:])]
    pad = "!" if family == "sd2" or component == "text_encoder_2" else EOS
    return write_clip_files(folder, merges, max_length=77, pad=pad)
