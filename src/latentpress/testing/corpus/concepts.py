"""The kinds of textual-inversion files, as their trainers write them, and files that are given as one by mistake.

Each concept holds `vectors`, two of them where a kind may have more than one. The widths are those of the text encoders in
`ldm_names.small_models`.
"""

import base64
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file
from torch import Tensor

from latentpress.testing.corpus.checkpoints import CHECKPOINTS
from latentpress.testing.corpus.kind import FileKind
from latentpress.testing.corpus.loras import LORAS

# Of the text encoder of Stable Diffusion 1, which is SDXL's first too, and of SDXL's second.
WIDTH, WIDER = 64, 128
TOKEN = "<line-art>"


def vectors(count: int = 2, width: int = WIDTH) -> Tensor:
    """(count, width) float32; the same each time."""
    return torch.randn(count, width, generator=torch.Generator().manual_seed(1)) * 0.1


def _library(folder: Path) -> Path:
    torch.save({TOKEN: vectors(1)[0]}, folder / "learned_embeds.bin")
    return folder / "learned_embeds.bin"


def _folder(folder: Path) -> Path:
    torch.save(vectors(1)[0], folder / "learned_embeds.bin")
    (folder / "token_identifier.txt").write_text(f"{TOKEN}\n")
    return folder


def _pair(folder: Path) -> Path:
    for stem, width in {"learned_embeds": WIDTH, "learned_embeds_2": WIDER}.items():
        save_file({TOKEN: vectors(width=width)}, folder / f"{stem}.safetensors")
    return folder


def _a1111_data(tensor: Any) -> dict[str, Any]:
    """modules/textual_inversion: `name` is what it was called at first, whatever the file is called now."""
    return {"string_to_token": {"*": 265}, "string_to_param": {"*": tensor}, "name": "badhandv3", "step": 10}


def _a1111(folder: Path) -> Path:
    torch.save(_a1111_data(vectors()), folder / "badhandv4.pt")
    return folder / "badhandv4.pt"


def _rinongal(folder: Path) -> Path:
    """Also InvokeAI's and hlky's: parameters in a ParameterDict, and the id of the first word as a tensor."""
    parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(vectors())})
    torch.save({"string_to_token": {"*": torch.tensor(265)}, "string_to_param": parameters}, folder / "gs-999.pt")
    return folder / "gs-999.pt"


def _png(folder: Path) -> Path:
    data = _a1111_data({"TORCHTENSOR": vectors().tolist()})
    text = PngImagePlugin.PngInfo()
    text.add_text("sd-ti-embedding", base64.b64encode(json.dumps(data).encode()).decode())
    Image.new("RGB", (64, 64), (90, 120, 200)).save(folder / "picture.png", pnginfo=text)
    return folder / "picture.png"


def _plain_picture(folder: Path) -> Path:
    Image.new("RGB", (64, 64)).save(folder / "picture.png")
    return folder / "picture.png"


def _bare(folder: Path) -> Path:
    torch.save(vectors(), folder / "sketch.pt")
    return folder / "sketch.pt"


def _lfs(folder: Path) -> Path:
    (folder / "x.bin").write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 3819\n")
    return folder / "x.bin"


def _file(state: Callable[[], dict[str, Tensor]], folder: Path) -> Path:
    save_file(state(), folder / "sketch.safetensors")
    return folder / "sketch.safetensors"


def _safetensors(
    state: Callable[[], dict[str, Tensor]], *, family: str = "sd1", token: str = "sketch", refused: str | None = None
) -> FileKind:
    return FileKind("concept", partial(_file, state), family, refused=refused, token=token)


def _sdxl(first: str, second: str, ending: str = "") -> dict[str, Tensor]:
    return {first + ending: vectors(), second + ending: vectors(width=WIDER)}


def _with_lora() -> dict[str, Tensor]:
    lora = {"lora_unet_mid_block_proj_in.lora_down.weight": torch.ones(4, 64)}
    return lora | {"bundle_emb.hero.string_to_param.*": vectors()}


_OF_T5 = "a concept for Flux or Stable Diffusion 3"

CONCEPTS: dict[str, FileKind] = {
    "concept-library": FileKind("concept", _library, token=TOKEN),
    "concept-folder": FileKind("concept", _folder, token=TOKEN),
    "concept-diffusers": _safetensors(lambda: {TOKEN: vectors()}, token=TOKEN),
    "concept-bare": FileKind("concept", _bare, token="sketch"),
    "concept-a1111": FileKind("concept", _a1111, token="badhandv4"),
    "concept-a1111-png": FileKind("concept", _png, token="badhandv3"),
    "concept-rinongal": FileKind("concept", _rinongal, token="gs-999"),
    "concept-kohya": _safetensors(lambda: {"emb_params": vectors()}),
    "concept-onetrainer": _safetensors(lambda: {"emp_params": vectors()}),
    "concept-in-lora": _safetensors(_with_lora, token="hero"),
    "concept-sdxl": _safetensors(lambda: _sdxl("clip_l", "clip_g"), family="sdxl"),
    "concept-sdxl-out": _safetensors(
        lambda: _sdxl("clip_l", "clip_g") | _sdxl("clip_l", "clip_g", "_out"), family="sdxl"
    ),
    "concept-sdxl-pair": FileKind("concept", _pair, "sdxl", token=TOKEN),
    "concept-pivotal": _safetensors(lambda: _sdxl("text_encoders_0", "text_encoders_1"), family="sdxl"),
    "concept-flux": _safetensors(lambda: {"clip_l": vectors(), "t5": vectors(width=4096)}, refused=_OF_T5),
    "concept-sd3": _safetensors(
        lambda: _sdxl("clip_l", "clip_g") | {"t5xxl": vectors(width=4096)}, family="sdxl", refused=_OF_T5
    ),
    "concept-t5": _safetensors(lambda: {TOKEN: vectors(88, 4096)}, refused=_OF_T5),
    "concept-is-lora": FileKind("concept", LORAS["lora-kohya"].build, refused="a LoRA, not a concept"),
    "concept-is-checkpoint": FileKind("concept", CHECKPOINTS["file-sd1"].build, refused="a checkpoint, not a concept"),
    "concept-is-vae": FileKind("concept", CHECKPOINTS["vae-file"].build, refused="a VAE, not a concept"),
    "concept-is-picture": FileKind("concept", _plain_picture, refused="a picture without an embedding"),
    "concept-is-pointer": FileKind("concept", _lfs, refused="a Git LFS pointer"),
}
