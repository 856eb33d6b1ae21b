"""The kinds of lone UNets, each with a checkpoint for its other parts (`export UNET --base CHECKPOINT`)."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from latentpress.testing.corpus.folders import write_folder
from latentpress.testing.corpus.kind import FileKind, Rounding, exactly
from latentpress.testing.corpus.models import models_of
from latentpress.testing.ldm_names import ldm_unet, prefixed, single_file_state, small_models, stored

State = dict[str, Tensor]

# A power of two: the product is exact.
_SCALE = 2.0**-9
_SEED = 1  # of the base's UNet, which is not to be taken


def _file(state: Callable[[], State], name: str = "unet.safetensors") -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        save_file(stored(state()), folder / name)
        return folder / name

    return build


def _ldm(prefix: str, family: str = "sd1") -> Callable[[Path], Path]:
    return _file(lambda: prefixed(prefix, ldm_unet(models_of(family)["unet"])))


def base_file(family: str) -> Callable[[Path], Path]:
    """Writes a whole checkpoint in one file: the models of the corpus, and another UNet."""

    def build(folder: Path) -> Path:
        models = models_of(family) | {"unet": small_models(family, vocabulary=1000, seed=_SEED)["unet"]}
        save_file(single_file_state(family, models), folder / "base.safetensors")
        return folder / "base.safetensors"

    return build


def _base_folder(folder: Path) -> Path:
    """The same as a diffusers folder."""
    path = write_folder(folder / "base")
    small_models("sd1", vocabulary=1000, seed=_SEED)["unet"].save_pretrained(path / "unet")
    return path


def _saved(folder: Path) -> Path:
    models_of("sd1")["unet"].save_pretrained(folder / "style" / "unet")
    return folder / "style" / "unet"


def _fp8() -> State:
    state = prefixed("diffusion_model.", ldm_unet(models_of("sd1")["unet"]))
    return {key: value.to(torch.float8_e4m3fn) for key, value in state.items()}


def _scaled_fp8() -> State:
    """ComfyUI's: the matrices in fp8, with a scale each, and an empty tensor that says so."""
    state: State = {"scaled_fp8": torch.zeros(0, dtype=torch.float8_e4m3fn)}
    for key, value in ldm_unet(models_of("sd1")["unet"]).items():
        state[key] = value.half()
        if key.endswith(".weight") and value.ndim == 2:
            state[key] = (value / _SCALE).to(torch.float8_e4m3fn)
            state[f"{key.removesuffix('weight')}scale_weight"] = torch.tensor(_SCALE)
    return state


def _to_fp8(component: str, key: str, weight: Tensor) -> Tensor:
    return weight.to(torch.float8_e4m3fn).float() if component == "unet" else weight


def _to_scaled_fp8(component: str, key: str, weight: Tensor) -> Tensor:
    if component != "unet":
        return weight
    if key.endswith(".weight") and weight.ndim == 2:
        return (weight / _SCALE).to(torch.float8_e4m3fn).float() * _SCALE
    return weight.half().float()


def _kind(build: Callable[[Path], Path], family: str = "sd1", rounding: Rounding = exactly) -> FileKind:
    return FileKind("checkpoint", build, family, rounding=rounding, base=base_file(family))


UNETS: dict[str, FileKind] = {
    "unet-file": _kind(_ldm("model.diffusion_model.")),
    "unet-comfyui": _kind(_ldm("diffusion_model.")),
    "unet-bare": _kind(_ldm("")),
    "unet-sd2": _kind(_ldm("diffusion_model.", "sd2"), "sd2"),
    "unet-sdxl": _kind(_ldm("diffusion_model.", "sdxl"), "sdxl"),
    "unet-fp8": _kind(_file(_fp8), rounding=_to_fp8),
    "unet-fp8-scaled": _kind(_file(_scaled_fp8), rounding=_to_scaled_fp8),
    "unet-diffusers": _kind(_file(lambda: models_of("sd1")["unet"].state_dict())),
    "unet-diffusers-sdxl": _kind(_file(lambda: models_of("sdxl")["unet"].state_dict()), "sdxl"),
    "unet-folder": FileKind("checkpoint", _saved, base=_base_folder),
    "unet-without-base": FileKind(
        "checkpoint", _ldm("diffusion_model."), refused="a lone UNet; give the checkpoint it belongs to with --base"
    ),
    "unet-folder-without-base": FileKind(
        "checkpoint", _saved, refused="a lone UNet; give the checkpoint it belongs to with --base"
    ),
}
