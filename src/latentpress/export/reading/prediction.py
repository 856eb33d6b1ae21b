"""What a single file leaves unsaid: whether its UNet predicts noise or velocity, and for which size it was made."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from latentpress.errors import CheckpointError
from latentpress.export.families import denoiser_config, family_config
from latentpress.export.families.family import Family
from latentpress.export.reading.weights import Weights

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
    key `v_pred`; the family's own guess, where it has one; what the family's published checkpoint predicts.
    """
    if (said := prediction_said(weights, original, asked)) is not None:
        return said
    if family.guess_prediction is None:
        return str(family_config(family, "scheduler")["prediction_type"]), "the family's usual"
    step = weights.values.get("global_step", weights.tensors.get("global_step"))
    return family.guess_prediction(None if step is None else int(step), config["in_channels"], unet)


def prediction_said(weights: Weights, original: Mapping[str, Any], asked: str | None) -> tuple[str, str] | None:
    """The first of these, as for `prediction_of`, that are no guess; None if nothing says it. Raises CheckpointError."""
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
    return None


def sample_size_of(weights: Weights, family: Family, prediction: str) -> int:
    """Latents a side at the size of training: the metadata's, or the family's for what its UNet predicts."""
    said = size_said(weights) or family.sample_sizes.get(prediction)
    return said or int(denoiser_config(family)["sample_size"])


def size_said(weights: Weights) -> int | None:
    """Latents a side at the size that the metadata names, if it names a square."""
    square = re.fullmatch(r"(\d{3,4})x\1", weights.metadata.get("modelspec.resolution", ""))
    return int(square[1]) // 8 if square and int(square[1]) % 8 == 0 else None


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
