"""Reads a separate VAE: a diffusers folder, or one file with diffusers' names or those of Stability AI's checkpoints."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from latentpress.bundle.info import file_sha256
from latentpress.errors import CheckpointError
from latentpress.export.families.family import Component, Family
from latentpress.export.reading.checkpoint import digest_of
from latentpress.export.reading.components import model_from
from latentpress.export.reading.file_kinds import VAE, known_kind
from latentpress.export.reading.folder_weights import read_state, weight_file
from latentpress.export.reading.ldm_config import SHAPE_ERRORS, Misfit, misfit, vae_config
from latentpress.export.reading.weights import read_weights
from latentpress.export.reading.whole_file import read_json

State = dict[str, Tensor]

_PARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
# diffusers named the VAE's attention otherwise before 0.13.
_OLD_ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def load_vae(path: Path, family: Family, variant: str | None = None) -> Any:
    """The AutoencoderKL at `path`, a folder or a file, for a checkpoint of `family`; raises CheckpointError.

    Latents are scaled by what the folder's config.json says, which must be the family's; a file does not say it, and a
    VAE of SD and one of SDXL cannot be told apart by their weights: a file is taken to be of the family. variant: of a
    folder's weights, where it has several.
    """
    path = Path(path)
    if path.is_dir():
        state, config = _folder(path, family, variant)
    else:
        weights = read_weights(path)
        _check_kind(path, weights.tensors, family)
        try:
            state, config = convert_vae(weights.tensors, family)
        except SHAPE_ERRORS as error:
            raise CheckpointError(f"{path}: not a VAE of Stable Diffusion or SDXL: {misfit(error)}") from None
    return built(path, family.vae, config, state)


def vae_sha256(path: Path, variant: str | None = None) -> str:
    """sha256 of a VAE's file, or of its folder's configuration and weights."""
    if not path.is_dir():
        return file_sha256(path)
    return digest_of(path, [path / "config.json", *weight_file(path, variant).files])


def convert_vae(tensors: Mapping[str, Tensor], family: Family) -> tuple[State, dict[str, Any]]:
    """The VAE among `tensors` (a file of its own, or a whole checkpoint's) in diffusers' names, and its configuration.

    Losses and EMA copies beside it are left out. Raises one of SHAPE_ERRORS.
    """
    from diffusers.loaders.single_file_utils import conv_attn_to_linear, convert_ldm_vae_checkpoint

    prefix = next((name for name in family.vae_prefixes if _starts(tensors, name)), "")
    part = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    part = {key: value for key, value in part.items() if key.startswith(_PARTS)}
    if not part:
        raise Misfit(f"it holds {', '.join(sorted(tensors)[:3]) or 'nothing'}")
    if _starts(part, "encoder.down_blocks."):
        state = {_new_name(key): value for key, value in part.items()}
        conv_attn_to_linear(state)
    else:
        levels = len({key.split(".")[2] for key in part if key.startswith("encoder.down.")})
        types = {"down_block_types": [""] * levels, "up_block_types": [""] * levels}
        state = convert_ldm_vae_checkpoint(part, types)
    return state, vae_config(state, family)


def built(path: Path, component: Component, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Any:
    """`components.model_from`, its errors naming the file."""
    try:
        return model_from(component, config, state)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (RuntimeError, ValueError) as error:
        # torch lists every tensor of another shape, one a line, under a heading.
        lines = [line.strip() for line in str(error).splitlines()]
        reason = next((line for line in lines if line.startswith("size mismatch")), lines[0])
        raise CheckpointError(f"{path}: {component.name} is not of a published architecture: {reason[:200]}") from None


def _check_kind(path: Path, tensors: Mapping[str, Tensor], family: Family) -> None:
    """Raise CheckpointError for a file without a VAE that is something else; a checkpoint's own VAE is read."""
    kind = None if any(_starts(tensors, name) for name in family.vae_prefixes) else known_kind(tensors)
    if kind is not None and kind is not VAE:
        raise CheckpointError(f"{path}: {kind.not_a('a VAE')}")


def _folder(path: Path, family: Family, variant: str | None) -> tuple[State, dict[str, Any]]:
    if (path / "model_index.json").is_file():
        raise CheckpointError(f"{path}: a whole checkpoint, not a VAE; give the folder of its VAE, {path / 'vae'}")
    try:
        config = read_json(path / "config.json")
    except CheckpointError as error:
        raise CheckpointError(
            f"{str(error).partition(';')[0]}; give the folder of a diffusers VAE, or its file"
        ) from None
    if (kind := config.get("_class_name")) != (wanted := family.vae.class_name):
        raise CheckpointError(f"{path / 'config.json'}: holds a {kind!r}; a VAE is an {wanted}")
    weights = weight_file(path, variant)
    try:
        state, inferred = convert_vae(read_state(weights), family)
    except SHAPE_ERRORS as error:
        raise CheckpointError(f"{weights.path}: not a VAE of Stable Diffusion or SDXL: {misfit(error)}") from None
    # diffusers' own default, where an old folder does not say it.
    found, scaling = config.get("scaling_factor", 0.18215), inferred["scaling_factor"]
    if found != scaling:
        raise CheckpointError(
            f"{path}: scales its latents by {found}, {family.title} by {scaling}; use a VAE of the checkpoint's family"
        )
    return state, {key: value for key, value in config.items() if key != "_name_or_path"}


def _new_name(key: str) -> str:
    for old, new in _OLD_ATTENTION.items():
        key = key.replace(old, new)
    return key


def _starts(tensors: Mapping[str, Tensor], prefix: str) -> bool:
    return any(key.startswith(prefix) for key in tensors)
