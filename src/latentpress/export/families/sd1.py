"""Stable Diffusion 1: CLIP's text encoder, eight attention heads on every level."""

from pathlib import Path

from latentpress.export.families.family import (
    AUTOENCODER,
    CLIP,
    CLIP_TOKENIZER,
    UNET,
    Denoiser,
    Family,
    TextEncoder,
)

# Img2img and inpainting pipelines hold the same components as their base; LCM's UNet takes the guidance scale too.
PIPELINES = (
    "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
    "LatentConsistencyModelPipeline",
    "LatentConsistencyModelImg2ImgPipeline",
)

SD1 = Family(
    name="sd1",
    title="Stable Diffusion 1",
    configurations=Path(__file__).parent / "sd1",
    pipelines=PIPELINES,
    inpainting_pipeline="StableDiffusionInpaintPipeline",
    text_encoders=(
        TextEncoder(
            CLIP,
            CLIP_TOKENIZER,
            file_prefixes=("cond_stage_model.transformer.",),
            file_names="transformers",
            lora_prefix="lora_te_",
        ),
    ),
    denoiser=Denoiser(
        UNET,
        title="a UNet",
        file_prefix="model.diffusion_model.",
        file_lacks=("label_emb.0.0.weight",),
    ),
    vae=AUTOENCODER,
    lora_names=("sd_v1", "stable-diffusion-v1"),
)
