"""The torch modules that are traced: one forward per bundle graph; bundle/info.py documents inputs and outputs.

Inputs and outputs are float32 whatever the weights are: the casts are here, so that no caller of an engine needs any.
"""

from typing import Any

import torch
from torch import Tensor, nn

from latentpress.export.reading.clip_versions import text_model


class TextEncoder(nn.Module):
    """input_ids (batch, 77) int64 -> hidden_states (batch, layers, 77, D), and pooled (batch, P) with a projection.

    hidden_states[:, k] is what diffusers' pipelines use with clip_skip k: of SD 1 and 2 the last but k through the final
    layer norm, of SDXL (`penultimate`) the last but k + 1 as it is. A token given as -1 - id stands in its place and is
    hidden from the others, as by transformers' attention_mask. Pooled is taken at the first end token: the highest
    id, where transformers looks under the old `eos_token_id` 2, would be a concept's.
    """

    def __init__(self, model: Any, *, eos_token_id: int, layers: int, penultimate: bool) -> None:
        super().__init__()
        self.model = text_model(model)
        self.projection = getattr(model, "text_projection", None)
        self.eos_token_id = eos_token_id
        self.layers = layers
        self.penultimate = penultimate

    def forward(self, input_ids: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        # In this order: concepts are baked into the table that a Gather behind input_ids indexes (embedding.py).
        ids = torch.maximum(input_ids, -1 - input_ids)
        output = self.model(ids, attention_mask=(input_ids >= 0).to(torch.int64), output_hidden_states=True)
        first = 2 if self.penultimate else 1
        chosen = [output.hidden_states[-(first + skipped)] for skipped in range(self.layers)]
        if not self.penultimate:
            chosen = [self.model.final_layer_norm(states) for states in chosen]
        stacked = torch.stack(chosen, dim=1).float()
        if self.projection is None:
            return stacked
        end = (ids == self.eos_token_id).int().argmax(dim=-1)
        rows = torch.arange(input_ids.shape[0])
        return stacked, self.projection(output.last_hidden_state[rows, end]).float()


class UNet(nn.Module):
    """sample (batch, C, h, w), timestep (batch,) float32, encoder_hidden_states (batch, tokens, D) -> noise_pred."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.computes_in: torch.dtype | None = None  # None: the weights' dtype (only widening.in_float32 sets it)
        # The model passes explicit sizes to its upsamplers only for heights and widths not divisible by this power of
        # two. No size is divisible by 2**40, so the one graph serves every multiple of 8 pixels.
        model.num_upsamplers = 40

    def forward(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor) -> Tensor:
        return self._predict(sample, timestep, encoder_hidden_states)

    def _predict(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        timestep_cond: Tensor | None = None,
        added: dict[str, Tensor] | None = None,
    ) -> Tensor:
        # The timestep stays float32: float16 rounds 999 by up to 0.25, and its sinusoids with it.
        dtype = self.computes_in or self.model.conv_in.weight.dtype
        given = (sample.to(dtype), timestep, encoder_hidden_states.to(dtype))
        cond = None if timestep_cond is None else timestep_cond.to(dtype)
        return self.model(*given, timestep_cond=cond, added_cond_kwargs=added, return_dict=False)[0].float()


class UNetXL(UNet):
    """As UNet, with SDXL's text_embeds (batch, P) and time_ids (batch, n).

    Both are float32 whatever the weights' type, because the model joins float32 features of the time ids to text_embeds, and
    TensorRT refuses a join of two types.
    """

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, text_embeds: Tensor, time_ids: Tensor
    ) -> Tensor:
        added = {"text_embeds": text_embeds, "time_ids": time_ids}
        return self._predict(sample, timestep, encoder_hidden_states, added=added)


class DistilledUNet(UNet):
    """As UNet, with timestep_cond (batch, G), the guidance scale's features (bundle/distilled.py), of LCM's checkpoints."""

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, timestep_cond: Tensor
    ) -> Tensor:
        return self._predict(sample, timestep, encoder_hidden_states, timestep_cond)


class DistilledUNetXL(UNet):
    """As UNetXL, with timestep_cond (batch, G) as the last."""

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        text_embeds: Tensor,
        time_ids: Tensor,
        timestep_cond: Tensor,
    ) -> Tensor:
        added = {"text_embeds": text_embeds, "time_ids": time_ids}
        return self._predict(sample, timestep, encoder_hidden_states, timestep_cond, added)


# (addition_embed_type, of what a UNet takes beside the hidden states; whether it takes the guidance scale) -> its module.
UNETS: dict[tuple[str | None, bool], type[UNet]] = {
    (None, False): UNet,
    ("text_time", False): UNetXL,
    (None, True): DistilledUNet,
    ("text_time", True): DistilledUNetXL,
}


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
