"""Stable Diffusion 1.5 at its true size with random weights, in the diffusers folder layout: 4.3 GB in float32."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from latentpress.export.random_checkpoint import build_checkpoint


def sd15_checkpoint(folder: Path) -> Path:
    """The checkpoint in `folder`, made there first unless it is whole already; the same weights every time."""
    if (folder / "complete").exists():
        return folder
    # Tokenizer, scheduler and model_index.json are a small checkpoint's; the models are replaced.
    build_checkpoint(folder, width=8, size=16, hidden=16)
    vocabulary = len(json.loads((folder / "tokenizer" / "vocab.json").read_text()))
    torch.manual_seed(15)
    unet = UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(320, 640, 1280, 1280),
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=768,
        attention_head_dim=8,
    )
    unet.save_pretrained(folder / "unet")
    del unet
    vae = AutoencoderKL(
        sample_size=512,
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        scaling_factor=0.18215,
    )
    vae.save_pretrained(folder / "vae")
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=768,
        intermediate_size=3072,
        projection_dim=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    (folder / "complete").touch()
    return folder
