"""The kinds of checkpoints and VAEs in one file, by their published names; `folders` has the others."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from latentpress.testing.corpus.kind import FileKind
from latentpress.testing.corpus.models import models_of
from latentpress.testing.ldm_names import ldm_vae, single_file_state, stored

# Keeps the comparison with torch small: what ModelSpec says of the size.
_SMALL = {"modelspec.resolution": "128x128"}
_UNET = "model.diffusion_model."
# A power of two: the product is exact.
_SCALE = 2.0**-9


def _single_file(family: str) -> FileKind:
    def build(folder: Path) -> Path:
        save_file(_state(family), folder / "model.safetensors", _SMALL)
        return folder / "model.safetensors"

    return FileKind("checkpoint", build, family)


def _ckpt(folder: Path) -> Path:
    torch.save({"state_dict": _state("sd1"), "global_step": 1000}, folder / "model.ckpt")
    return folder / "model.ckpt"


def _fp8(folder: Path) -> Path:
    state = {key: value.to(torch.float8_e4m3fn) for key, value in _state("sd1").items() if value.is_floating_point()}
    save_file(state, folder / "model.safetensors", _SMALL)
    return folder / "model.safetensors"


def _to_fp8(component: str, key: str, weight: Tensor) -> Tensor:
    return weight.to(torch.float8_e4m3fn).float()


def _scaled_fp8(folder: Path) -> Path:
    """ComfyUI's: the matrices of the UNet in fp8, with a scale each, and an empty tensor that says so."""
    state: dict[str, Tensor] = {}
    for key, value in _state("sd1").items():
        if key.startswith(_UNET) and key.endswith(".weight") and value.ndim == 2:
            state[key] = (value / _SCALE).to(torch.float8_e4m3fn)
            state[f"{key.removesuffix('weight')}scale_weight"] = torch.tensor(_SCALE)
        else:
            state[key] = value.half() if value.is_floating_point() else value
    state[f"{_UNET}scaled_fp8"] = torch.zeros(0, dtype=torch.float8_e4m3fn)
    save_file(state, folder / "model.safetensors", _SMALL)
    return folder / "model.safetensors"


def _to_scaled_fp8(component: str, key: str, weight: Tensor) -> Tensor:
    if component == "unet" and key.endswith(".weight") and weight.ndim == 2:
        return (weight / _SCALE).to(torch.float8_e4m3fn).float() * _SCALE
    return weight.half().float()


def _state(family: str) -> dict[str, Tensor]:
    return single_file_state(family, models_of(family))


def _vae_file(folder: Path) -> Path:
    save_file(stored(ldm_vae(models_of("sd1")["vae"])), folder / "vae.safetensors")
    return folder / "vae.safetensors"


FILES: dict[str, FileKind] = {
    "file-sd1": _single_file("sd1"),
    "file-sd2": _single_file("sd2"),
    "file-sdxl": _single_file("sdxl"),
    "file-sdxl-refiner": _single_file("sdxl_refiner"),
    "file-ckpt": FileKind("checkpoint", _ckpt),
    "file-fp8": FileKind("checkpoint", _fp8, rounding=_to_fp8),
    "file-fp8-scaled": FileKind("checkpoint", _scaled_fp8, rounding=_to_scaled_fp8),
    "vae-file": FileKind("vae", _vae_file),
}
