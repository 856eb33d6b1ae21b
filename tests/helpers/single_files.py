"""Small checkpoints in one file, of every family, and diffusers' pipelines on the models whose weights they hold."""

import functools
import json

import diffusers
import torch
from safetensors.torch import save_file
from transformers import CLIPTokenizer

from compare import diffusers_scheduler
from latentpress.cli import run_cli
from latentpress.export.families import FAMILIES, family_config, write_clip_tokenizer
from ldm_names import single_file_state, small_models
from traces import shared_traces

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
    """An autoencoder whose pictures have contrast."""
    vae = small_models("sd1", vocabulary=1000, seed=9)["vae"]
    latents = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(1)) / 0.18215
    with torch.no_grad():
        picture = vae.decode(latents).sample
        spread = picture.std((0, 2, 3))
        out = vae.decoder.conv_out
        out.bias.copy_((out.bias - picture.mean((0, 2, 3))) * 0.4 / spread)
        out.weight.mul_((0.4 / spread)[:, None, None, None])
    return vae


def models_of(family):
    """component -> torch model; all share an autoencoder, whose graphs are slow to trace."""
    models = small_models(family)
    models["vae"].load_state_dict(_vae().state_dict())
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        for name, model in models.items():
            if name.startswith("text_encoder"):
                _make_words_tell(model)
        _make_text_show(models["unet"])
    return models


def _make_words_tell(encoder):
    """Fresh weights of CLIP hardly mix tokens; these make a word change those after it, and the pooled output."""
    width = encoder.config.hidden_size
    for layer in encoder.text_model.encoder.layers:
        for part, gain in (("v_proj", 1), ("out_proj", 1), ("q_proj", 2), ("k_proj", 2)):
            weight = getattr(layer.self_attn, part).weight
            weight.copy_(gain * torch.randn_like(weight) / width**0.5)
    if hasattr(encoder, "text_projection"):
        encoder.text_projection.weight.copy_(torch.randn_like(encoder.text_projection.weight) / width**0.5)


def _make_text_show(unet):
    """Sharp attention to large values, so that one word among 77 shows, and a prediction of unit size."""
    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            module.to_q.weight.mul_(4)
            module.to_v.weight.mul_(4)
            module.to_out[0].weight.mul_(2)
    added = None
    if unet.config.addition_embed_type:
        unet.add_embedding.linear_1.weight.mul_(4)
        unet.add_embedding.linear_2.weight.mul_(4)
        wide, each = unet.config.projection_class_embeddings_input_dim, unet.config.addition_time_embed_dim
        pooled = 128
        added = {"text_embeds": torch.randn(2, pooled), "time_ids": torch.full((2, (wide - pooled) // each), 64.0)}
    states = torch.randn(2, 77, unet.config.cross_attention_dim)
    free = unet(torch.randn(2, 4, 8, 8), torch.tensor([100.0, 800.0]), states, added_cond_kwargs=added).sample
    unet.conv_out.weight.div_(free.std())
    unet.conv_out.bias.zero_()


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
        write_clip_tokenizer(folder / tokenizer, FAMILIES[family].text_encoder(name))
        parts[tokenizer] = CLIPTokenizer.from_pretrained(folder / tokenizer)
    config = json.loads(json.dumps(family_config(FAMILIES[family], "scheduler")))
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
