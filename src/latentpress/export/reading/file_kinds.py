"""Tells what a file of weights is from its keys, for messages about a file that was given as something else.

The kinds that people have beside checkpoints: what each is called, and the option that takes it, if one does. Reads no
file, and decides nothing about one that is what it was given as.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """A kind of file. what: with its article; way_out: what to do with it."""

    what: str
    way_out: str

    def not_a(self, wanted: str) -> str:
        """What an error says of such a file that was given as `wanted`, e.g. "a VAE"."""
        return f"{self.what}, not {wanted}; {self.way_out}"


_UNUSED = "it cannot be used here"
LORA = Known("a LoRA", "give it to `latentpress export` with --lora")
CONCEPT = Known("a textual inversion", "give it to `latentpress export` with --concept")
VAE = Known("a VAE", "give it to `latentpress export` with --vae")
CHECKPOINT = Known("a checkpoint", "give it to `latentpress export` as its source")
UNET = Known("a lone UNet", "give it to `latentpress export` as its source, the checkpoint it belongs to with --base")
TEXT_ENCODER = Known("a text encoder", "give the whole checkpoint to `latentpress export`")

# Where a denoiser's keys begin.
_MODEL = r"(model\.)?(diffusion_model\.)?"
# What some key of a file shows -> what it is; the first that matches counts.
_KINDS: dict[str, Known] = {
    r"^lora_|^lycoris_|^base_model\.model\.|\.lora_|_lora\.|lora_[AB]\.|\.(hada_w|lokr_w|oft_)|:(up|down)$"
    r"|\.(on_input|diff|diff_b|w_norm|b_norm)$|^unet\.": LORA,
    r"^(em[bp]_params|string_to_param(\..*)?|clip_[lg](_out)?|text_encoders_[01]|<[^<>]+>)$": CONCEPT,
    r"^(control_model|controlnet_cond_embedding|input_hint_block|zero_convs)\.|^lllite_": Known(
        "a ControlNet", _UNUSED
    ),
    r"^ip_adapter\.|\.to_k_ip\.|^image_proj\.": Known("an IP-Adapter", _UNUSED),
    r"\.motion_modules\.": Known("a motion module of AnimateDiff", _UNUSED),
    r"^(adapter\.)?body\.\d+\.(resnets|block1|in_conv)\.": Known("a T2I-Adapter", _UNUSED),
    r"^body\.\d+\.rdb\d\.|^model\.\d+\.sub\.\d+\.": Known("an upscaler (ESRGAN)", _UNUSED),
    rf"^{_MODEL}(double_blocks|single_transformer_blocks)\.": Known("a Flux checkpoint", "it cannot be exported"),
    rf"^{_MODEL}joint_blocks\.": Known("a Stable Diffusion 3 checkpoint", "it cannot be exported"),
    rf"^{_MODEL}(clip_txt_pooled_mapper|clip_txt_mapper|effnet_mapper)\.": Known(
        "a Stable Cascade checkpoint", "it cannot be exported"
    ),
    r"^(encoder_hid_proj\.(image_embeds|text_proj)|add_embedding\.(image_norm|text_norm))\.": Known(
        "a Kandinsky UNet", "it cannot be exported"
    ),
    rf"^{_MODEL}(y_embedder\.y_embedding$|y_embedder\.y_proj\.|adaln_single\.)": Known(
        "a PixArt checkpoint", "it cannot be exported"
    ),
    r"^edm_mean$": Known("a Playground 2.5 checkpoint", "it cannot be exported"),
    r"^(cond_stage_model|conditioner\.embedders)\.": CHECKPOINT,
    r"^(model\.)?diffusion_model\.|^input_blocks\.0\.0\.|^down_blocks\.": UNET,
    r"^(encoder\.block\.\d+\.layer\.|shared\.weight$|text_encoders\.t5xxl\.)": Known(
        "a T5 text encoder", "no checkpoint that can be exported has one"
    ),
    r"^(first_stage_model|vae|decoder|encoder\.(conv_in|down|down_blocks))\.": VAE,
    r"^(text_model|transformer\.resblocks|text_encoders)\.": TEXT_ENCODER,
}


def known_kind(keys: Collection[str]) -> Known | None:
    """What a file with these keys is; None for no kind that people are known to have."""
    return next((kind for pattern, kind in _KINDS.items() if any(re.search(pattern, key) for key in keys)), None)
