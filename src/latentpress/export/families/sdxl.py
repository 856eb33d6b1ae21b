"""SDXL's base, with CLIP's and OpenCLIP's text encoders, and its refiner, with the second alone and a score for a size.

Both take pooled text and time ids beside the hidden states: `addition_embed_type` text_time in their configurations.
"""

from dataclasses import replace
from pathlib import Path

from latentpress.export.families.family import (
    AUTOENCODER,
    CLIP,
    CLIP_TOKENIZER,
    UNET,
    Component,
    Denoiser,
    Family,
    TextEncoder,
)

_FIRST = TextEncoder(
    CLIP,
    CLIP_TOKENIZER,
    file_prefixes=("conditioner.embedders.0.transformer.",),
    file_names="transformers",
    lora_prefix="lora_te1_",
    penultimate=True,
)
_SECOND = TextEncoder(
    Component("text_encoder_2", "transformers", "CLIPTextModelWithProjection"),
    replace(CLIP_TOKENIZER, name="tokenizer_2"),
    file_prefixes=("conditioner.embedders.1.model.",),
    file_names="open_clip",
    lora_prefix="lora_te2_",
    pad="!",  # as OpenCLIP's tokenizers do
    penultimate=True,
)

SDXL = Family(
    name="sdxl",
    title="SDXL",
    configurations=Path(__file__).parent / "sdxl",
    pipelines=(
        "StableDiffusionXLPipeline",
        "StableDiffusionXLImg2ImgPipeline",
        "StableDiffusionXLInpaintPipeline",
    ),
    inpainting_pipeline="StableDiffusionXLInpaintPipeline",
    text_encoders=(_FIRST, _SECOND),
    denoiser=Denoiser(
        UNET,
        title="an SDXL UNet",
        file_prefix="model.diffusion_model.",
        file_has=("label_emb.0.0.weight",),
        head_channels=64,
    ),
    vae=AUTOENCODER,
    lora_names=("sdxl", "stable-diffusion-xl"),
    lora_marks=("lora_te2_", "text_encoder_2."),
)
SDXL_REFINER = replace(
    SDXL,
    name="sdxl_refiner",
    title="the SDXL refiner",
    configurations=Path(__file__).parent / "sdxl_refiner",
    text_encoders=(replace(_SECOND, file_prefixes=("conditioner.embedders.0.model.",)),),
    # A LoRA that names SDXL is taken to be for its base.
    lora_names=(),
    lora_marks=(),
)
