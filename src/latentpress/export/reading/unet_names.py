"""Tells a UNet by the names of its weights, LDM's or diffusers', wherever they begin. Reads no file."""

from collections.abc import Collection

from latentpress.export.families import FAMILIES

# What messages say of a file that holds one alone.
LONE = "a lone UNet; give the checkpoint it belongs to with --base"
UNET_CLASS = "UNet2DConditionModel"

# Where files have it: whole checkpoints and files cut from them, ComfyUI's and trainers' files of the UNet alone.
_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "")
# Its first and last layer: a ControlNet has no last one.
_LDM = ("input_blocks.0.0.weight", "out.2.weight")
_DIFFUSERS = ("conv_in.weight", "conv_out.weight", "time_embedding.linear_1.weight")


def unet_prefix(keys: Collection[str]) -> str | None:
    """What stands before the names of the UNet's weights; None if there is no UNet in a file with these keys."""
    if is_diffusers_unet(keys):
        return ""
    return next((prefix for prefix in _PREFIXES if all(prefix + key in keys for key in _LDM)), None)


def is_diffusers_unet(keys: Collection[str]) -> bool:
    """Whether these are the weights of a UNet in diffusers' names."""
    return all(key in keys for key in _DIFFUSERS)


def lone_unet(keys: Collection[str]) -> bool:
    """Whether a file with these keys holds a UNet and no text encoder of any family."""
    texts = {start for family in FAMILIES.values() for each in family.text_encoders for start in each.file_prefixes}
    return unet_prefix(keys) is not None and not any(key.startswith(tuple(texts)) for key in keys)
