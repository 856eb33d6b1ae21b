"""Small checkpoints in one file, of every family, and diffusers' pipelines on the models whose weights they hold."""

import functools
import json

import diffusers
from safetensors.torch import save_file
from transformers import CLIPTokenizer

from compare import diffusers_scheduler
from families import shared_traces
from latentpress.cli import run_cli
from latentpress.export.families import family_config, write_clip_tokenizer
from ldm_names import single_file_state, small_models

STEPS, SIZE = 6, 64
OPTIONS = {"num_inference_steps": STEPS, "guidance_scale": 6.0}
_PIPELINES = {
    "sd1": diffusers.StableDiffusionPipeline,
    "sd2": diffusers.StableDiffusionPipeline,
    "sdxl": diffusers.StableDiffusionXLPipeline,
    "sdxl_refiner": diffusers.StableDiffusionXLImg2ImgPipeline,
}
# What ModelSpec says of the size: it keeps the comparison with torch, at up to 32 latents a side, small.
SMALL = {"modelspec.resolution": "128x128"}


@functools.cache
def _vae():
    return small_models("sd1", vocabulary=1000, seed=9)["vae"]


def models_of(family, seed=0):
    """component -> torch model; all share an autoencoder, whose graphs are slow to trace."""
    models = small_models(family, seed=seed)
    models["vae"].load_state_dict(_vae().state_dict())
    return models


def save_single(path, family, models):
    """The models as a .safetensors file in the family's published names."""
    save_file(single_file_state(family, models), path, SMALL)
    return path


def export(*arguments):
    """`latentpress export ARGUMENTS`; returns the exit code."""
    with shared_traces():
        return run_cli(["export", *map(str, arguments)])


def reference(family, models, folder, sampler="euler"):
    """diffusers' pipeline on these models, with CLIP's tokenizers and the family's scheduler."""
    parts = dict(models)
    if family == "sdxl_refiner":
        parts |= {"text_encoder": None, "tokenizer": None}
    for name in [name for name in models if name.startswith("text_encoder")]:
        tokenizer = name.replace("text_encoder", "tokenizer")
        write_clip_tokenizer(folder / tokenizer, family, name)
        parts[tokenizer] = CLIPTokenizer.from_pretrained(folder / tokenizer)
    config = json.loads(json.dumps(family_config(family, "scheduler")))
    if family == "sd2":
        config["prediction_type"] = "v_prediction"
    parts["scheduler"] = diffusers_scheduler(sampler, {k: v for k, v in config.items() if not k.startswith("_")})
    if family == "sdxl_refiner":
        parts |= {"requires_aesthetics_score": True, "force_zeros_for_empty_prompt": False}
    elif family != "sdxl":
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    pipeline = _PIPELINES[family](**parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
