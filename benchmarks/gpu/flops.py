"""Floating-point operations of one picture, by torch's own counter, on models without weights."""

import json
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gpu.settings import Case
from latentpress.export.families import family_named
from latentpress.export.reading.components import weightless


def picture_flops(case: Case, checkpoint: Path) -> dict[str, float]:
    """Of one UNet row, of one decoding, and of a whole picture; a multiply and an add are two. Text is left out."""
    configs = {name: json.loads((checkpoint / name / "config.json").read_bytes()) for name in ("unet", "vae")}
    with torch.device("meta"):
        family = family_named(case.family)
        unet, vae = (weightless(family.component(name), config).eval() for name, config in configs.items())
        side = case.side // 2 ** (len(vae.config.block_out_channels) - 1)
        sample = torch.zeros(1, unet.config.in_channels, side, side)
        states = torch.zeros(1, 77, unet.config.cross_attention_dim)
        added: dict[str, Any] = {}
        if unet.config.addition_embed_type == "text_time":
            wide = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
            conditions = {"text_embeds": torch.zeros(1, wide), "time_ids": torch.zeros(1, 6)}
            added = {"added_cond_kwargs": conditions}
        row = _count(lambda: unet(sample, torch.zeros(1), states, **added))
        decoding = _count(lambda: vae.decode(sample))
    # Classifier-free guidance: two rows a step.
    return {"unet_row": row, "decoding": decoding, "picture": 2 * case.steps * row + decoding}


def _count(call: Any) -> float:
    counter = FlopCounterMode(display=False)
    # The counter knows the attention's matrix products, not every fused kernel that does them.
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        call()
    return float(counter.get_total_flops())
