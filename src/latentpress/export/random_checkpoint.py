"""Builds small random checkpoints of Stable Diffusion 1's shape, in the diffusers folder layout, from a seed.

Its pictures mean nothing, but they behave: the UNet's prediction is of unit size and mostly the noise it was given, so
latents shrink towards the data range as in a trained model; the prompt moves it visibly; the decoder has contrast.
"""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from latentpress.export.word_tokenizer import write_tokenizer

MAX_TOKENS = 77
# The share of the prediction that does not come from the given noise: enough for prompts to differ, small enough that
# the latents of 10 to 50 steps at guidance 7.5 stay within a few units.
_FREE_SHARE = 0.3
# Standard deviation of a decoded picture in -1..1; real photographs have about 0.5.
_CONTRAST = 0.5

_SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}


def build_checkpoint(folder: Path, *, width: int = 32, size: int = 64, hidden: int = 64, seed: int = 0) -> Path:
    """Write a random checkpoint into `folder` (made if missing); the same arguments give the same weights.

    width: the UNet's first level's channels, a multiple of 8. size: pixels a side, a multiple of 16. hidden: the text
    encoder's width, a multiple of 16.
    """
    if width % 8 or size % 16 or hidden % 16:
        raise ValueError(f"width {width} must be a multiple of 8, size {size} and hidden {hidden} of 16")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_tokenizer(folder / "tokenizer", max_length=MAX_TOKENS)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        text_encoder = _text_encoder(vocabulary, hidden)
        unet = _unet(width, size // 8, hidden)
        vae = _vae(size)
    text_encoder.save_pretrained(folder / "text_encoder", safe_serialization=True)
    unet.save_pretrained(folder / "unet", safe_serialization=True)
    vae.save_pretrained(folder / "vae", safe_serialization=True)
    (folder / "scheduler").mkdir(exist_ok=True)
    _write_json(folder / "scheduler" / "scheduler_config.json", _SCHEDULER)
    _write_json(
        folder / "model_index.json",
        {
            "_class_name": "StableDiffusionPipeline",
            "_diffusers_version": "0.30.0",
            "feature_extractor": [None, None],
            "image_encoder": [None, None],
            "requires_safety_checker": False,
            "safety_checker": [None, None],
            "scheduler": ["diffusers", "PNDMScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
    )
    return folder


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def _text_encoder(vocabulary: int, hidden: int) -> Any:
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=hidden * 2,
        projection_dim=hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    model: Any = CLIPTextModel(config)
    for layer in model.text_model.encoder.layers:
        # CLIP's initial weights hardly mix tokens; a trained encoder's later tokens know of the earlier ones.
        for linear in (layer.self_attn.v_proj, layer.self_attn.out_proj):
            linear.weight.copy_(torch.randn_like(linear.weight) / hidden**0.5)
        for linear in (layer.self_attn.q_proj, layer.self_attn.k_proj):
            linear.weight.copy_(2 * torch.randn_like(linear.weight) / hidden**0.5)
    return model.eval()


def _unet(width: int, latent_size: int, hidden: int) -> Any:
    unet: Any = UNet2DConditionModel(
        sample_size=latent_size,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(width, width * 2),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=hidden,
        attention_head_dim=4,
        norm_num_groups=width // 8,
    ).eval()
    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            # Sharp attention with large values, so that one word among 77 shows.
            module.to_q.weight.mul_(4)
            module.to_v.weight.mul_(4)
            module.to_out[0].weight.mul_(2)
    _give_noise_back(unet)
    return unet


def _give_noise_back(unet: Any) -> None:
    """Rewire 8 of the UNet's channels so that its prediction is its input, brought to unit size, plus a free share.

    conv_in carries x and -x to the last skip connection, the last block's shortcut picks them up, the final norm's first
    group of 8 channels holds just them, and silu(x) - silu(-x) = x undoes the nonlinearity.
    """
    width = unet.conv_in.out_channels
    unet.conv_in.weight[:8] = 0
    unet.conv_in.bias[:8] = 0
    for channel in range(4):
        unet.conv_in.weight[channel, channel, 1, 1] = 1
        unet.conv_in.weight[channel + 4, channel, 1, 1] = -1
    last = unet.up_blocks[-1]
    resnet = last.resnets[-1]
    skip = resnet.conv_shortcut.in_channels - width
    for conv in (resnet.conv_shortcut, resnet.conv2, last.attentions[-1].proj_out):
        conv.weight[:8] = 0
        conv.bias[:8] = 0
    for channel in range(8):
        resnet.conv_shortcut.weight[channel, skip + channel] = 1
    sample = torch.randn(4, 4, unet.config.sample_size, unet.config.sample_size)
    states = torch.randn(4, MAX_TOKENS, unet.config.cross_attention_dim)
    unet.conv_out.weight[:, :8] = 0
    unet.conv_out.bias.zero_()
    free = unet(sample, torch.tensor([1.0, 250.0, 500.0, 999.0]), states).sample
    unet.conv_out.weight.mul_(_FREE_SHARE / free.std())
    unet.conv_out.bias.copy_(-free.mean((0, 2, 3)) * _FREE_SHARE / free.std())
    for channel in range(4):
        unet.conv_out.weight[channel, channel, 1, 1] = (1 - _FREE_SHARE**2) ** 0.5
        unet.conv_out.weight[channel, channel + 4, 1, 1] = -((1 - _FREE_SHARE**2) ** 0.5)


def _vae(size: int) -> Any:
    vae: Any = AutoencoderKL(
        sample_size=size,
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=(16, 16, 32, 32),  # pyright: ignore[reportArgumentType]
        down_block_types=("DownEncoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        layers_per_block=1,
        norm_num_groups=8,
        scaling_factor=0.18215,
    ).eval()
    decoder = vae.decoder
    latents = torch.randn(4, 4, size // 8, size // 8) / vae.config.scaling_factor
    picture = vae.decode(latents).sample
    spread = picture.std((0, 2, 3))
    decoder.conv_out.bias.copy_((decoder.conv_out.bias - picture.mean((0, 2, 3))) * _CONTRAST / spread)
    decoder.conv_out.weight.mul_((_CONTRAST / spread)[:, None, None, None])
    return vae
