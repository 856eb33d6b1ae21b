"""Small random torch models that draw noise but behave like trained ones; `random_checkpoint` makes folders of them.

The UNet's prediction is of unit size and mostly the noise it was given, so latents shrink towards the data range as in a
trained model; the prompt moves it visibly; the decoder has contrast. Each function draws from torch's global generator.
"""

from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from latentpress.export.reading.clip_versions import text_model

MAX_TOKENS = 77
# The share of the prediction that does not come from the given noise: enough for prompts to differ, small enough that
# the latents of 10 to 50 steps at guidance 7.5 stay within a few units.
_FREE_SHARE = 0.3
# Standard deviation of a decoded picture in -1..1; real photographs have about 0.5.
_CONTRAST = 0.5
# Width of one time id's features; SDXL has 256.
_TIME_EMBED = 8


def random_text_encoder(
    vocabulary: int, hidden: int, *, layers: int = 2, activation: str = "quick_gelu", projection: int | None = None
) -> Any:
    """A CLIP text encoder `hidden` wide; with `projection`, it has a pooled output of that width."""
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=hidden * 2,
        projection_dim=projection or hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        hidden_act=activation,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    model: Any = CLIPTextModel(config) if projection is None else CLIPTextModelWithProjection(config)
    for layer in text_model(model).encoder.layers:
        # CLIP's initial weights hardly mix tokens; a trained encoder's later tokens know of the earlier ones.
        for linear in (layer.self_attn.v_proj, layer.self_attn.out_proj):
            linear.weight.copy_(torch.randn_like(linear.weight) / hidden**0.5)
        for linear in (layer.self_attn.q_proj, layer.self_attn.k_proj):
            linear.weight.copy_(2 * torch.randn_like(linear.weight) / hidden**0.5)
    if projection is not None:
        # Pooled text of unit size, as a trained projection gives, so that a wrong one shows.
        model.text_projection.weight.copy_(torch.randn_like(model.text_projection.weight) / hidden**0.5)
    return model.eval()


def random_unet(
    width: int,
    latent_size: int,
    hidden: int,
    *,
    pooled: int | None = None,
    time_ids: int = 6,
    guidance: int | None = None,
    **config: Any,
) -> Any:
    """A UNet of two levels, the first `width` channels wide, attending to vectors `hidden` wide.

    pooled: the width of SDXL's pooled text, which comes with so many `time_ids`; guidance: the width of the guidance scale's
    features, of a distilled UNet (LCM); config: further or other arguments of UNet2DConditionModel.
    """
    if guidance is not None:
        config["time_cond_proj_dim"] = guidance
    if pooled is not None:
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": _TIME_EMBED,
            "projection_class_embeddings_input_dim": pooled + time_ids * _TIME_EMBED,
        }
    usual: dict[str, Any] = {
        "sample_size": latent_size,
        "in_channels": 4,
        "out_channels": 4,
        "layers_per_block": 1,
        "block_out_channels": (width, width * 2),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": hidden,
        "attention_head_dim": 4,
        "norm_num_groups": width // 8,
    }
    unet: Any = UNet2DConditionModel(**{**usual, **config}).eval()
    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            # Sharp attention with large values, so that one word among 77 shows.
            module.to_q.weight.mul_(4)
            module.to_v.weight.mul_(4)
            module.to_out[0].weight.mul_(2)
    if pooled is not None:
        # Fresh weights pass on a tenth of what they get; pooled text and sizes must show beside the timestep.
        unet.add_embedding.linear_1.weight.mul_(4)
        unet.add_embedding.linear_2.weight.mul_(4)
    if guidance is not None:  # fresh weights hardly tell one scale from another
        unet.time_embedding.cond_proj.weight.mul_(4)
    _give_noise_back(unet, pooled, time_ids)
    return unet


def _give_noise_back(unet: Any, pooled: int | None, time_ids: int) -> None:
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
    attentions = [attention.proj_out for attention in getattr(last, "attentions", [])[-1:]]
    for conv in (resnet.conv_shortcut, resnet.conv2, *attentions):
        conv.weight[:8] = 0
        conv.bias[:8] = 0
    for channel in range(8):
        resnet.conv_shortcut.weight[channel, skip + channel] = 1
    sample = torch.randn(4, unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
    states = torch.randn(4, MAX_TOKENS, unet.config.cross_attention_dim)
    unet.conv_out.weight[:, :8] = 0
    unet.conv_out.bias.zero_()
    added: dict[str, Any] | None = None
    if pooled is not None:
        side = float(unet.config.sample_size * 8)
        sides = torch.tensor([side, side, 0.0, 0.0, side, side])[:time_ids]
        added = {"text_embeds": torch.randn(4, pooled), "time_ids": sides.repeat(4, 1)}
    free = unet(sample, torch.tensor([1.0, 250.0, 500.0, 999.0]), states, added_cond_kwargs=added).sample
    unet.conv_out.weight.mul_(_FREE_SHARE / free.std())
    unet.conv_out.bias.copy_(-free.mean((0, 2, 3)) * _FREE_SHARE / free.std())
    for channel in range(4):
        unet.conv_out.weight[channel, channel, 1, 1] = (1 - _FREE_SHARE**2) ** 0.5
        unet.conv_out.weight[channel, channel + 4, 1, 1] = -((1 - _FREE_SHARE**2) ** 0.5)


def random_vae(size: int, scaling_factor: float) -> Any:
    """An autoencoder of SD's shape, 8 pixels a latent, calibrated for pictures `size` pixels a side."""
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
        scaling_factor=scaling_factor,
    ).eval()
    decoder = vae.decoder
    latents = torch.randn(4, 4, size // 8, size // 8) / vae.config.scaling_factor
    picture = vae.decode(latents).sample
    spread = picture.std((0, 2, 3))
    decoder.conv_out.bias.copy_((decoder.conv_out.bias - picture.mean((0, 2, 3))) * _CONTRAST / spread)
    decoder.conv_out.weight.mul_((_CONTRAST / spread)[:, None, None, None])
    return vae
