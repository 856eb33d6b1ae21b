"""Small random models of every family, and their weights under the names that single-file checkpoints have.

The renaming goes the other way than the code under test: from diffusers' and transformers' modules to the layers of
Stability AI's `ldm` and `sgm` and of OpenCLIP, as those are numbered there.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
SINGLE = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
LEVELS: dict[str, dict[str, Any]] = {
    "sd1": {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": 8,
        "cross_attention_dim": 64,
    },
    "sd2": {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": (1, 2),
        "cross_attention_dim": 128,
        "use_linear_projection": True,
    },
    "sdxl": {
        "block_out_channels": (64, 128, 128),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": (1, 2, 2),
        "cross_attention_dim": 192,
        "transformer_layers_per_block": (1, 1, 2),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 128 + 6 * 8,
    },
    "sdxl_refiner": {
        "block_out_channels": (64, 128, 128),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": (1, 2, 2),
        "cross_attention_dim": 128,
        "transformer_layers_per_block": 2,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 128 + 5 * 8,
    },
}
# component -> (width, layers, activation, projected)
TEXTS = {
    "sd1": {"text_encoder": (64, 2, "quick_gelu", False)},
    "sd2": {"text_encoder": (128, 2, "gelu", False)},
    "sdxl": {"text_encoder": (64, 2, "quick_gelu", False), "text_encoder_2": (128, 3, "gelu", True)},
    "sdxl_refiner": {"text_encoder_2": (128, 3, "gelu", True)},
}


def small_models(family: str, *, channels: int = 4, vocabulary: int = 49408, seed: int = 0) -> dict[str, Any]:
    """component -> random torch model of the family's shape; heads and groups as the family's, widths small."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        models: dict[str, Any] = {name: text_encoder(vocabulary, *shape) for name, shape in TEXTS[family].items()}
        unet: dict[str, Any] = {
            "block_out_channels": (64, 128),
            "layers_per_block": 1,
            "in_channels": channels,
            **LEVELS[family],
        }
        models["unet"] = UNet2DConditionModel(sample_size=8, **unet)
        vae: dict[str, Any] = {
            "block_out_channels": (32, 32, 64, 64),
            "down_block_types": ("DownEncoderBlock2D",) * 4,
            "up_block_types": ("UpDecoderBlock2D",) * 4,
            "scaling_factor": 0.13025 if family.startswith("sdxl") else 0.18215,
        }
        models["vae"] = AutoencoderKL(layers_per_block=1, latent_channels=4, **vae)
        for model in models.values():
            for parameter in model.parameters():  # norms and biases begin as ones and zeros, all alike
                if parameter.ndim == 1:
                    parameter.data += 0.1 * torch.randn_like(parameter)
    return {name: model.eval() for name, model in models.items()}


def text_encoder(vocabulary: int, width: int, layers: int, activation: str, projected: bool) -> Any:
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=width * 2,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        hidden_act=activation,
        projection_dim=width,
        bos_token_id=0,
        eos_token_id=2,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def single_file_state(family: str, models: Mapping[str, Any]) -> dict[str, Tensor]:
    """Every weight of `models` under its name in a single-file checkpoint of the family."""
    named = {f"model.diffusion_model.{key}": value for key, value in ldm_unet(models["unet"]).items()}
    if "vae" in models:
        named |= {f"first_stage_model.{key}": value for key, value in ldm_vae(models["vae"]).items()}
    if family == "sd1":
        named |= prefixed("cond_stage_model.transformer.", models["text_encoder"].state_dict())
    elif family == "sd2":
        text = open_clip(models["text_encoder"])
        last = max(int(key.split(".")[2]) for key in text if "resblocks" in key)
        # OpenCLIP's last layer and its projection, which SD 2 does not use.
        text |= {
            key.replace(f".{last}.", f".{last + 1}."): value + 1
            for key, value in text.items()
            if f"resblocks.{last}." in key
        }
        width = text["ln_final.weight"].shape[0]
        named |= prefixed("cond_stage_model.model.", {**text, "text_projection": torch.randn(width, width)})
    else:
        first = 0
        if "text_encoder" in models:
            named |= prefixed("conditioner.embedders.0.transformer.", models["text_encoder"].state_dict())
            first = 1
        second = {**open_clip(models["text_encoder_2"]), "logit_scale": torch.tensor(4.6)}
        named |= prefixed(f"conditioner.embedders.{first}.model.", second)
    return stored(named)


def stored(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights as a file takes them: apart from their model and from each other."""
    return {key: value.detach().clone().contiguous() for key, value in state.items()}


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


def ldm_unet(unet: Any) -> dict[str, Tensor]:
    return {ldm_unet_key(key, unet): value for key, value in unet.state_dict().items()}


def ldm_unet_key(key: str, unet: Any) -> str:
    """The name in ldm's UNet of a weight in diffusers'."""
    each = unet.config.layers_per_block + 1
    module, _, leaf = key.rpartition(".")
    if module in SINGLE:
        return f"{SINGLE[module]}.{leaf}"
    found = re.match(r"(down_blocks|up_blocks|mid_block)\.(?:(\d+)\.)?(\w+)\.(\d+)\.(.+)", key)
    assert found is not None, key
    side, *rest = found.groups()
    block, kind, index, inner = int(rest[0] or 0), rest[1], int(rest[2]), rest[3]
    if kind == "resnets":
        part, _, tail = inner.rpartition(".")
        inner = f"{RESNET[part]}.{tail}"
    if side == "mid_block":
        return f"middle_block.{1 if kind == 'attentions' else 2 * index}.{inner}"
    if side == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{each * (block + 1)}.0.{inner.replace('conv', 'op')}"
        return f"input_blocks.{each * block + index + 1}.{1 if kind == 'attentions' else 0}.{inner}"
    if kind == "upsamplers":
        attends = "CrossAttn" in unet.config.up_block_types[block]
        return f"output_blocks.{each * (block + 1) - 1}.{2 if attends else 1}.{inner}"
    return f"output_blocks.{each * block + index}.{1 if kind == 'attentions' else 0}.{inner}"


def ldm_vae(vae: Any) -> dict[str, Tensor]:
    levels = len(vae.config.block_out_channels)
    named = {}
    for key, value in vae.state_dict().items():
        name = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", key)
        name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0\.", r"down.\1.downsample.", name)
        name = re.sub(r"up_blocks\.(\d+)\.", lambda found: f"up.{levels - 1 - int(found[1])}.", name)
        name = name.replace(".upsamplers.0.", ".upsample.") if ".up." in name else name
        name = re.sub(r"(\.up\.\d+\.)resnets\.", r"\1block.", name)
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
        name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        if "mid_block.attentions.0." in name:
            name = name.replace("mid_block.attentions.0.", "mid.attn_1.").replace("group_norm", "norm")
            name = re.sub(r"to_([qkv])\.", r"\1.", name).replace("to_out.0", "proj_out")
            value = value[:, :, None, None] if value.ndim == 2 else value
        named[name] = value
    return named


def open_clip(model: Any) -> dict[str, Tensor]:
    """OpenCLIP's text tower: query, key and value in one matrix, the projection transposed."""
    state = model.state_dict()
    named = {
        "positional_embedding": state["text_model.embeddings.position_embedding.weight"],
        "token_embedding.weight": state["text_model.embeddings.token_embedding.weight"],
        "ln_final.weight": state["text_model.final_layer_norm.weight"],
        "ln_final.bias": state["text_model.final_layer_norm.bias"],
    }
    if "text_projection.weight" in state:
        named["text_projection"] = state["text_projection.weight"].T
    for index in range(model.config.num_hidden_layers):
        old, new = f"text_model.encoder.layers.{index}.", f"transformer.resblocks.{index}."
        for leaf in ("weight", "bias"):
            parts = [state[f"{old}self_attn.{part}_proj.{leaf}"] for part in "qkv"]
            named[f"{new}attn.in_proj_{leaf}"] = torch.cat(parts)
            named[f"{new}attn.out_proj.{leaf}"] = state[f"{old}self_attn.out_proj.{leaf}"]
            for ours, theirs in (("layer_norm1", "ln_1"), ("layer_norm2", "ln_2")):
                named[f"{new}{theirs}.{leaf}"] = state[f"{old}{ours}.{leaf}"]
            for ours, theirs in (("fc1", "c_fc"), ("fc2", "c_proj")):
                named[f"{new}mlp.{theirs}.{leaf}"] = state[f"{old}mlp.{ours}.{leaf}"]
    return named
