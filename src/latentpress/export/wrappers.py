"""The torch modules that are traced: one forward per bundle graph, with the inputs and outputs bundle.py documents."""

from typing import Any

from torch import Tensor, nn


class TextEncoder(nn.Module):
    """input_ids (batch, 77) int64 -> last_hidden_state (batch, 77, D), as the SD pipeline uses it (no clip skip)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.model(input_ids).last_hidden_state


class UNet(nn.Module):
    """sample (batch, 4, h, w), timestep (batch,) float32, encoder_hidden_states (batch, 77, D) -> noise_pred."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        # The model passes explicit sizes to its upsamplers only for heights and widths not divisible by this power of
        # two. No size is divisible by 2**40, so the one graph serves every multiple of 8 pixels.
        model.num_upsamplers = 40

    def forward(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor) -> Tensor:
        return self.model(sample, timestep, encoder_hidden_states, return_dict=False)[0]


class VaeEncoder(nn.Module):
    """sample (batch, 3, H, W) in -1..1 -> moments (batch, 8, h, w): the mean, then the log variance, unsampled."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.encoder = vae.encoder
        self.quant_conv = vae.quant_conv

    def forward(self, sample: Tensor) -> Tensor:
        moments = self.encoder(sample)
        return moments if self.quant_conv is None else self.quant_conv(moments)


class VaeDecoder(nn.Module):
    """latents (batch, 4, h, w), already divided by scaling_factor -> sample (batch, 3, H, W)."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.post_quant_conv = vae.post_quant_conv
        self.decoder = vae.decoder

    def forward(self, latents: Tensor) -> Tensor:
        return self.decoder(latents if self.post_quant_conv is None else self.post_quant_conv(latents))
