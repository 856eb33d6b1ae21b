"""Files given as a checkpoint or a VAE by mistake: the first keys that each kind has, from published files."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from latentpress.testing.corpus.kind import FileKind

# What it is -> (keys of such files, the beginning of the sentence about it).
_OTHERS: dict[str, tuple[tuple[str, ...], str]] = {
    "lora": (("lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight",), "a LoRA"),
    "concept": (("emb_params",), "a textual inversion"),
    "vae": (("decoder.conv_in.weight", "encoder.conv_in.weight"), "a VAE"),
    "t5": (("shared.weight", "encoder.block.0.layer.0.SelfAttention.q.weight"), "a T5 text encoder"),
    "text-encoder": (("text_model.embeddings.token_embedding.weight",), "a text encoder"),
    "flux": (("double_blocks.0.img_attn.qkv.weight", "single_blocks.0.linear1.weight"), "a Flux checkpoint"),
    "sd3": (("model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight",), "a Stable Diffusion 3 checkpoint"),
    "cascade": (("clip_txt_pooled_mapper.weight", "clip_img_mapper.weight"), "a Stable Cascade checkpoint"),
    "kandinsky": (
        ("down_blocks.0.resnets.0.conv1.weight", "encoder_hid_proj.image_embeds.weight", "conv_in.weight"),
        "a Kandinsky UNet",
    ),
    "pixart": (("y_embedder.y_embedding", "blocks.0.attn.qkv.weight"), "a PixArt checkpoint"),
    "controlnet": (("control_model.input_blocks.0.0.weight", "control_model.zero_convs.0.0.weight"), "a ControlNet"),
    "controlnet-diffusers": (("conv_in.weight", "controlnet_cond_embedding.conv_in.weight"), "a ControlNet"),
    "t2i-adapter": (("adapter.body.0.resnets.0.block1.weight",), "a T2I-Adapter"),
    "ip-adapter": (("image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"), "an IP-Adapter"),
    "motion": (
        ("down_blocks.0.motion_modules.0.temporal_transformer.proj_in.weight",),
        "a motion module of AnimateDiff",
    ),
    "upscaler": (("conv_first.weight", "body.0.rdb1.conv1.weight"), "an upscaler (ESRGAN)"),
}


def _file(keys: tuple[str, ...]) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        save_file({key: torch.ones(4, 4) for key in keys}, folder / "other.safetensors")
        return folder / "other.safetensors"

    return build


OTHERS: dict[str, FileKind] = {
    **{
        f"file-is-{name}": FileKind("checkpoint", _file(keys), refused=f"{what}, not a ")
        for name, (keys, what) in _OTHERS.items()
    },
    **{
        f"vae-is-{name}": FileKind("vae", _file(_OTHERS[name][0]), refused=f"{_OTHERS[name][1]}, not a VAE; ")
        for name in ("lora", "concept", "text-encoder", "t5")
    },
    "vae-is-unet": FileKind(
        "vae", _file(("diffusion_model.input_blocks.0.0.weight",)), refused="a lone UNet, not a VAE; "
    ),
}
