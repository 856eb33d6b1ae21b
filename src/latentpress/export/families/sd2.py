"""Stable Diffusion 2: OpenCLIP's text encoder without its last layer, linear projections, noise or velocity predicted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentpress.export.families.family import (
    AUTOENCODER,
    CLIP,
    CLIP_TOKENIZER,
    UNET,
    Denoiser,
    Family,
    TextEncoder,
)
from latentpress.export.families.sd1 import PIPELINES

# The last attention's first norm: its biases spread more in the velocity-predicting SD 2 checkpoints. ComfyUI's rule
# and bound (comfy/supported_models.py, SD20.model_type), in use since 2023.
_TELLING = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
_SPREAD = 0.09
# The training step of 512-base-ema.ckpt, the noise-predicting SD 2.0: diffusers' and Stability's rule.
_BASE_STEP = 875000


def guess_prediction(step: int | None, in_channels: int, unet: Mapping[str, Any]) -> tuple[str, str]:
    """(epsilon or v_prediction, why): by 9 channels, the training step, or the spread of one layer's biases.

    Where none of them tells it is v_prediction, as diffusers has it.
    """
    if in_channels == 9:
        return "epsilon", "Stable Diffusion 2's inpainting models predict noise"
    if step == _BASE_STEP:
        return "epsilon", f"trained for {_BASE_STEP} steps, as Stable Diffusion 2.0 base"
    biases = unet.get(_TELLING)
    if biases is not None and (spread := float(biases.float().std(correction=0))) > 0:
        guess = "v_prediction" if spread > _SPREAD else "epsilon"
        return guess, f"guessed from its weights (spread {spread:.3f}); if pictures stay noise, ask for the other"
    return "v_prediction", "guessed, as most Stable Diffusion 2 models; if pictures stay noise, ask for epsilon"


SD2 = Family(
    name="sd2",
    title="Stable Diffusion 2",
    configurations=Path(__file__).parent / "sd2",
    pipelines=PIPELINES,
    inpainting_pipeline="StableDiffusionInpaintPipeline",
    text_encoders=(
        TextEncoder(
            CLIP,
            CLIP_TOKENIZER,
            # The second in files of Stability's newer trainer.
            file_prefixes=("cond_stage_model.model.", "conditioner.embedders.0.model."),
            file_names="open_clip",
            lora_prefix="lora_te_",
            pad="!",
            # The last but one of OpenCLIP's 24 layers, through the final layer norm.
            drops_last_layer=True,
        ),
    ),
    denoiser=Denoiser(
        UNET,
        title="a UNet",
        file_prefix="model.diffusion_model.",
        file_lacks=("label_emb.0.0.weight",),
        # Around its attentions; SD 1 has convolutions there.
        marks={"use_linear_projection": True},
        head_channels=64,
    ),
    vae=AUTOENCODER,
    guess_prediction=guess_prediction,
    sample_sizes={"epsilon": 64},  # its base and inpainting models
    lora_names=("sd_v2", "stable-diffusion-v2"),
)
