"""The diffusers and transformers configurations of the models in a single file, from its tensors' shapes.

Inferred: widths, levels, layers, transformer depths, channels, attention and embedding dimensions. Not in any tensor,
so taken from the family: attention heads (SD 1: 8 each; the others 64 channels each), normalisation groups (32),
activations, epsilons, the size of picture. With the published widths the result is the published configuration.
"""

from collections.abc import Mapping
from itertools import count
from typing import Any

from torch import Tensor

from latentpress.export.families import denoiser_config, family_config, latents_of
from latentpress.export.families.family import Family, time_ids

State = Mapping[str, Tensor]

# Channels of one attention head in OpenCLIP's and CLIP's text encoders.
HEAD_CHANNELS = 64


class Misfit(Exception):
    """The shapes are not those of the family; the message says why."""


# What reading a configuration off the shapes, or diffusers' renaming, raises where a tensor is not as expected.
SHAPE_ERRORS = (Misfit, KeyError, ValueError, IndexError, AttributeError)


def misfit(error: Exception) -> str:
    """What one of SHAPE_ERRORS says of the file."""
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    return str(error) if isinstance(error, Misfit) else "a tensor has not the shape it should"


def unet_config(state: State, family: Family, pooled_size: int | None = None) -> dict[str, Any]:
    """The configuration of the UNet `state`, in the names of LDM's checkpoints without their prefix.

    pooled_size: width of the pooled text, for SDXL. Raises Misfit.
    """
    channels, layers, depths = _levels(state)
    middle = _depth(state, "middle_block.1")
    attended = next((value for key, value in state.items() if key.endswith("attn2.to_k.weight")), None)
    if attended is None or not middle:
        raise Misfit("the UNet attends to no text")
    config = denoiser_config(family) | {
        "in_channels": state["input_blocks.0.0.weight"].shape[1],
        "out_channels": state["out.2.weight"].shape[0],
        "block_out_channels": channels,
        "layers_per_block": layers,
        "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
        "up_block_types": ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)],
        # A level without attention is never asked for its depth.
        "transformer_layers_per_block": _depths([depth or 1 for depth in depths], depths, middle),
        "cross_attention_dim": attended.shape[1],
        "use_linear_projection": state["middle_block.1.proj_in.weight"].ndim == 2,
    }
    if (each := family.denoiser.head_channels) is not None:
        config["attention_head_dim"] = heads_of(channels, each)
    if config.get("addition_embed_type") is not None:
        aesthetics = family_config(family, "model_index").get("requires_aesthetics_score", False)
        config |= _added(state, pooled_size or 0, time_ids(aesthetics))
    return config


def heads_of(channels: list[int], each: int) -> list[int]:
    """Attention heads of each level; diffusers calls their number attention_head_dim. Raises Misfit."""
    if any(width % each for width in channels):
        raise Misfit(f"the UNet's widths {channels} are not multiples of {each}, the channels of an attention head")
    return [width // each for width in channels]


def _levels(state: State) -> tuple[list[int], int, list[int]]:
    """Channels of each level, residual blocks in each, and its attentions' transformer blocks (0 for no attention)."""
    channels: list[int] = []
    blocks: list[list[int]] = [[]]
    for index in count(1):
        name = f"input_blocks.{index}"
        if f"{name}.0.op.weight" in state:
            blocks.append([])
        elif (weight := state.get(f"{name}.0.out_layers.3.weight")) is not None:
            if not blocks[-1]:
                channels.append(weight.shape[0])
            blocks[-1].append(_depth(state, f"{name}.1"))
        else:
            break
    if not blocks[0] or len({len(level) for level in blocks}) > 1 or any(len(set(level)) > 1 for level in blocks):
        raise Misfit(f"the UNet's levels have {[len(level) for level in blocks]} blocks and depths {blocks}")
    return channels, len(blocks[0]), [level[0] for level in blocks]


def _depth(state: State, attention: str) -> int:
    prefix = f"{attention}.transformer_blocks."
    return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})


def _depths(filled: list[int], depths: list[int], middle: int) -> int | list[int]:
    """transformer_layers_per_block; diffusers gives the middle block the last level's."""
    if {depth for depth in depths if depth} == {middle}:
        return middle
    if depths[-1] not in (0, middle):
        raise Misfit(f"the UNet's middle block has {middle} transformer blocks, its last level {depths[-1]}")
    return [*filled[:-1], middle]


def _added(state: State, pooled_size: int, time_ids: int) -> dict[str, int]:
    added = state["label_emb.0.0.weight"].shape[1]
    each, rest = divmod(added - pooled_size, time_ids)
    if rest or each < 1:
        raise Misfit(f"the UNet adds {added} numbers, not {pooled_size} of pooled text and {time_ids} time ids")
    return {"projection_class_embeddings_input_dim": added, "addition_time_embed_dim": each}


def vae_config(state: State, family: Family) -> dict[str, Any]:
    """The configuration of the VAE `state`, in diffusers' names. Raises Misfit."""
    levels = _number(state, "encoder.down_blocks.")
    latent_channels = state["decoder.conv_in.weight"].shape[1]
    if latent_channels != (usual := latents_of(family).channels):
        raise Misfit(f"the VAE has {latent_channels} latent channels, Stable Diffusion's and SDXL's have {usual}")
    return family_config(family, family.vae.name) | {
        "in_channels": state["encoder.conv_in.weight"].shape[1],
        "out_channels": state["decoder.conv_out.weight"].shape[0],
        "latent_channels": latent_channels,
        "block_out_channels": [
            state[f"encoder.down_blocks.{level}.resnets.0.conv1.weight"].shape[0] for level in range(levels)
        ],
        "layers_per_block": _number(state, "encoder.down_blocks.0.resnets."),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "use_quant_conv": "quant_conv.weight" in state,
        "use_post_quant_conv": "post_quant_conv.weight" in state,
    }


def text_config(state: State, family: Family, component: str) -> dict[str, Any]:
    """The configuration of the text encoder `state`, in transformers' names. Raises Misfit."""
    embeddings = "text_model.embeddings"
    vocabulary, width = state[f"{embeddings}.token_embedding.weight"].shape
    config = family_config(family, component) | {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "max_position_embeddings": state[f"{embeddings}.position_embedding.weight"].shape[0],
        "num_hidden_layers": _number(state, "text_model.encoder.layers."),
        "intermediate_size": state["text_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
        "num_attention_heads": width // HEAD_CHANNELS,
    }
    if width % HEAD_CHANNELS:
        raise Misfit(f"the {component} is {width} wide, not a multiple of {HEAD_CHANNELS}, the channels of a head")
    if (projection := state.get("text_projection.weight")) is not None:
        config["projection_dim"] = projection.shape[0]
    return config


def _number(state: State, prefix: str) -> int:
    """How many numbers follow `prefix` in the keys."""
    return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})
