"""Reads a UNet that comes without text encoders: a file with LDM's or diffusers' names, or the `unet` folder of diffusers.

The checkpoint it belongs to, its base, gives everything else: text encoders, tokenizers, the schedule, and the VAE unless
the file has one. The two must be of one family.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from latentpress.bundle.info import file_sha256
from latentpress.errors import CheckpointError
from latentpress.export.families import FAMILIES, denoiser_config, family_config
from latentpress.export.families.family import Family
from latentpress.export.reading.checkpoint import digest_of
from latentpress.export.reading.components import Components, with_unet, with_vae
from latentpress.export.reading.file_kinds import known_kind
from latentpress.export.reading.folder_weights import read_state, weight_file
from latentpress.export.reading.hub_cache import called
from latentpress.export.reading.kinds import Asked, Opened, kind_of
from latentpress.export.reading.ldm_config import SHAPE_ERRORS, Misfit, misfit
from latentpress.export.reading.prediction import prediction_said, read_original_config, size_said
from latentpress.export.reading.single_file import ZERO_SNR, convert_unet
from latentpress.export.reading.unet_names import UNET_CLASS, is_diffusers_unet, lone_unet, unet_prefix
from latentpress.export.reading.vae_file import built, convert_vae
from latentpress.export.reading.weights import Weights, read_weights
from latentpress.export.reading.whole_file import read_json

State = Mapping[str, Tensor]

# How diffusers names a model's weights, and the folder of a pipeline's UNet: neither names a model.
_WEIGHTS, _FOLDER = "diffusion_pytorch_model", "unet"
# What shows a UNet's family: whether it takes pooled text, the width of text, whether its attentions begin with matrices.
_Signature = tuple[bool, int, bool]


@dataclass(frozen=True)
class LoneUnet:
    """A UNet's weights as its file or folder names them, and the config.json of diffusers with them, if there is one."""

    path: Path
    weights: Weights
    config: Mapping[str, Any] | None


@dataclass(frozen=True)
class WithBase:
    """A lone UNet with the opened checkpoint that it belongs to. prediction: (epsilon or v_prediction, why)."""

    unet: LoneUnet
    base_path: Path
    base: Opened
    prediction: tuple[str, str]
    scheduler: Mapping[str, Any]

    @property
    def family(self) -> Family:
        return self.base.family

    @property
    def note(self) -> str:
        kind, why = self.prediction
        name = name_of(self.unet.path)
        return f"{name}: a UNet of {self.family.title}, {kind}: {why}; the other parts from {called(self.base_path)}"

    def components(self, vae: Path | None = None, variant: str | None = None) -> Components:
        parts = self.base.components(vae, variant)
        path, tensors = self.unet.path, self.unet.weights.tensors
        try:
            self._check_family(parts)
            state, config = self._converted(parts)
            own_vae = vae is None and any(key.startswith(self.family.vae_prefixes) for key in tensors)
            beside = convert_vae(tensors, self.family) if own_vae else None
        except SHAPE_ERRORS as error:
            raise CheckpointError(
                f"{path}: looks like a UNet of {self.family.title}, but {misfit(error)}; only the published "
                "architectures can be exported"
            ) from None
        unet = built(path, self.family.denoiser.component, config, state)
        parts = with_unet(str(path), parts, unet, dict(self.scheduler))
        if beside is not None:
            state, config = beside
            parts = with_vae(str(path), parts, built(path, self.family.vae, config, state))
        return parts

    def _converted(self, parts: Components) -> tuple[State, dict[str, Any]]:
        """The weights in diffusers' names and their configuration; raises one of SHAPE_ERRORS."""
        tensors, size = self.unet.weights.tensors, size_said(self.unet.weights) or parts.latent_size
        if is_diffusers_unet(tensors):
            config = dict(self.unet.config or parts.unet.config)
            return tensors, config | {"in_channels": tensors["conv_in.weight"].shape[1], "sample_size": size}
        pooled = parts.added_conditioning.pooled_size if parts.added_conditioning else None
        original = read_original_config(self.unet.path)
        state, config = convert_unet(_unprefixed(tensors), self.family, pooled, original)
        return state, config | {"sample_size": size}

    def _check_family(self, parts: Components) -> None:
        found, wanted = _signature_of(_unprefixed(self.unet.weights.tensors)), _signature(parts.unet.config)
        if found != wanted:
            raise CheckpointError(
                f"{self.unet.path}: {_title(found)}, and {self.base_path} is {self.family.title} with {_described(wanted)}; "
                "give the checkpoint it belongs to with --base"
            )


def open_with_base(path: Path, base: Path, asked: Asked) -> WithBase:
    """The UNet at `path`, a file or folder, with the checkpoint `base`, of any kind; raises CheckpointError."""
    unet = _read(path, asked.variant)
    opened = kind_of(base).open(base, Asked(None, asked.variant))
    own = str(opened.scheduler.get("prediction_type", "epsilon"))
    said = prediction_said(unet.weights, read_original_config(path), asked.prediction_type)
    kind, why = said or (own, f"as {called(base)}")
    scheduler = dict(opened.scheduler)
    if kind != own:  # the base's schedule is for a UNet of the other type
        scheduler = family_config(opened.family, "scheduler") | {"prediction_type": kind}
    if kind == "v_prediction" and "ztsnr" in unet.weights.tensors:
        scheduler |= ZERO_SNR
    return WithBase(unet, base, opened, (kind, why), scheduler)


def name_of(path: Path) -> str:
    """What a bundle of the UNet at `path` is called: its file; for diffusers' own file names, the folder of the model."""
    if not path.is_dir() and not path.name.startswith(_WEIGHTS):
        return Path(called(path)).stem
    folder = path if path.is_dir() else path.absolute().parent
    name = called(folder)
    if name == _FOLDER:
        return called(folder.absolute().parent)
    return name.removesuffix(f"/{_FOLDER}")


def unet_sha256(path: Path, variant: str | None = None) -> str:
    """sha256 of a UNet's file, or of its folder's configuration and weights."""
    if not path.is_dir():
        return file_sha256(path)
    return digest_of(path, [path / "config.json", *weight_file(path, variant).files])


def _read(path: Path, variant: str | None) -> LoneUnet:
    if not path.is_dir():
        weights = read_weights(path)
        beside = path.parent / "config.json"
        config = read_json(beside) if path.name.startswith(_WEIGHTS) and beside.is_file() else None
    elif (path / "model_index.json").is_file():
        raise CheckpointError(
            f"{path}: a whole checkpoint, not a lone UNet; leave --base out, or give {path / _FOLDER}"
        )
    else:
        config = read_json(path / "config.json")
        weights = Weights(path, dict(read_state(weight_file(path, variant))), {}, {})
    if config is not None and (kind := config.get("_class_name")) != UNET_CLASS:
        raise CheckpointError(f"{path}: its config.json is of a {kind!r}; a UNet is a {UNET_CLASS}")
    if not lone_unet(weights.tensors):
        whole = unet_prefix(weights.tensors) is not None
        what = "a whole checkpoint, not a lone UNet; leave --base out" if whole else _no_unet(weights.tensors)
        raise CheckpointError(f"{path}: {what}")
    return LoneUnet(path, weights, config)


def _no_unet(keys: Collection[str]) -> str:
    if (kind := known_kind(keys)) is not None:
        return kind.not_a("a UNet")
    held = ", ".join(sorted(keys)[:3]) or "nothing"
    return f"holds no UNet (it holds {held}); --base is for a UNet that comes without its text encoders"


def _unprefixed(tensors: State) -> dict[str, Tensor]:
    prefix = unet_prefix(tensors) or ""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _signature_of(state: State) -> _Signature:
    """Of the UNet `state`, in LDM's or diffusers' names. Raises Misfit."""
    text = next((value for key, value in state.items() if key.endswith("attn2.to_k.weight")), None)
    begins = next((value for key, value in state.items() if key.endswith("proj_in.weight")), None)
    if text is None or begins is None:
        raise Misfit("the UNet attends to no text")
    pooled = any(key.startswith(("label_emb.", "add_embedding.")) for key in state)
    return pooled, int(text.shape[1]), begins.ndim == 2


def _signature(config: Mapping[str, Any]) -> _Signature:
    """Of a UNet with diffusers' configuration."""
    pooled, linear = config.get("addition_embed_type") is not None, bool(config.get("use_linear_projection"))
    return pooled, int(config["cross_attention_dim"]), linear


def _title(found: _Signature) -> str:
    for family in FAMILIES.values():
        if _signature(denoiser_config(family)) == found:
            return f"a UNet of {family.title}"
    return f"a UNet with {_described(found)}"


def _described(found: _Signature) -> str:
    pooled, width, linear = found
    return (
        f"text {width} wide, {'matrices' if linear else 'convolutions'} around its attentions and "
        f"{'pooled text' if pooled else 'no pooled text'}"
    )
