"""What a single file leaves unsaid: whether its UNet predicts noise or velocity, and for which size it was made."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from latentpress.bundle.info import Family
from latentpress.errors import CheckpointError
from latentpress.export.families import family_config
from latentpress.export.reading.weights import Weights

# The last attention's first norm: its biases spread more in the velocity-predicting SD 2 checkpoints. ComfyUI's rule
# and bound (comfy/supported_models.py, SD20.model_type), in use since 2023.
_TELLING = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
_SPREAD = 0.09
# The training step of 512-base-ema.ckpt, the noise-predicting SD 2.0: diffusers' and Stability's rule.
_BASE_STEP = 875000
_MAX_YAML = 1 << 20


def prediction_of(
    weights: Weights,
    family: Family,
    config: Mapping[str, Any],
    unet: Mapping[str, Tensor],
    original: Mapping[str, Any],
    asked: str | None,
) -> tuple[str, str]:
    """(epsilon or v_prediction, why); the first of these that says something decides.

    What was asked for; a configuration of the same name beside the file (.yaml); the file's metadata (ModelSpec); the
    key `v_pred`; for SD 2: 9 channels, the training step, the spread of one layer's biases, and at last v_prediction,
    as diffusers has it. Everything else predicts epsilon.
    """
    if asked is not None:
        if asked not in ("epsilon", "v_prediction"):
            raise CheckpointError(f"{weights.path}: prediction type {asked!r} is unknown; epsilon or v_prediction")
        return asked, "as asked for"
    if (parameterization := original.get("parameterization")) in ("v", "eps"):
        return ("v_prediction" if parameterization == "v" else "epsilon"), f"{weights.path.stem}.yaml says so"
    if (said := weights.metadata.get("modelspec.prediction_type")) in ("v", "v_prediction", "epsilon"):
        return ("epsilon" if said == "epsilon" else "v_prediction"), "the file's metadata says so"
    if "v_pred" in weights.tensors:
        return "v_prediction", "the file holds the key v_pred"
    if family != "sd2":
        return "epsilon", "the family's usual"
    if config["in_channels"] == 9:
        return "epsilon", "Stable Diffusion 2's inpainting models predict noise"
    step = weights.values.get("global_step", weights.tensors.get("global_step"))
    if step is not None and int(step) == _BASE_STEP:
        return "epsilon", f"trained for {_BASE_STEP} steps, as Stable Diffusion 2.0 base"
    biases = unet.get(_TELLING)
    if biases is not None and (spread := float(biases.float().std(correction=0))) > 0:
        guess = "v_prediction" if spread > _SPREAD else "epsilon"
        return guess, f"guessed from its weights (spread {spread:.3f}); if pictures stay noise, ask for the other"
    return "v_prediction", "guessed, as most Stable Diffusion 2 models; if pictures stay noise, ask for epsilon"


def sample_size_of(weights: Weights, family: Family, config: Mapping[str, Any], prediction: str) -> int:
    """Latents a side at the size of training: the metadata's, or the family's; SD 2's base and inpainting have 64."""
    square = re.fullmatch(r"(\d{3,4})x\1", weights.metadata.get("modelspec.resolution", ""))
    if square and int(square[1]) % 8 == 0:
        return int(square[1]) // 8
    if family == "sd2" and prediction == "epsilon":
        return 64
    return int(family_config(family, "unet")["sample_size"])


def read_original_config(path: Path) -> dict[str, Any]:
    """What the .yaml of the same name beside the checkpoint says: parameterization, num_heads, num_head_channels.

    That is how SD 2's fine-tunes came with their prediction type, for A1111. Another kind of .yaml says nothing; one
    that cannot be read raises CheckpointError.
    """
    beside = path.with_suffix(".yaml")
    try:
        if not beside.is_file() or beside.stat().st_size > _MAX_YAML:
            return {}
        content: Any = yaml.safe_load(beside.read_text(encoding="utf-8"))
        params = content["model"]["params"]
        unet = params["unet_config"]["params"]
        return {key: unet.get(key) for key in ("num_heads", "num_head_channels")} | {
            "parameterization": params.get("parameterization", "eps")
        }
    # PyYAML lets Python's own errors out for a date that is none, and for brackets nested some hundreds deep.
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise CheckpointError(
            f"{beside}: cannot be read as the checkpoint's configuration ({type(error).__name__}); correct or remove it"
        ) from None
    except (KeyError, TypeError, AttributeError):
        return {}
