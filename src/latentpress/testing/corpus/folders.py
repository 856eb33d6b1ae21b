"""The kinds of checkpoint and VAE folders, as diffusers and transformers save them and as hubs keep them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTokenizerFast

from latentpress.export.families import family_config, family_named, write_clip_tokenizer
from latentpress.export.families.family import SCHEDULER
from latentpress.testing.corpus.kind import FileKind
from latentpress.testing.corpus.models import models_of
from latentpress.testing.random_checkpoint import pipeline_index

# Three lines that Git leaves in a file's place where Git LFS is not installed.
LFS_POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    "size 3438354725\n"
)
# Of LCM's UNet, whose first level here is 64 channels wide: what projects the guidance scale's features.
_COND = "time_embedding.cond_proj.weight"
_GUIDANCE = torch.randn(64, 256, generator=torch.Generator().manual_seed(1))
COMMIT = "451f4fe16113bff5a5d2269ed5ad43b0592e9a14"


def write_folder(folder: Path, family: str = "sd1", **options: Any) -> Path:
    """A diffusers folder as `save_pretrained` writes it; options: those of save_pretrained (variant, max_shard_size)."""
    made = family_named(family)
    for name, model in models_of(family).items():
        _save(model, folder / name, **options)
    for encoder in made.text_encoders:
        write_clip_tokenizer(folder / encoder.tokenizer.name, encoder)
    (folder / SCHEDULER.name).mkdir()
    (folder / SCHEDULER.name / SCHEDULER.file).write_text(json.dumps(family_config(made, SCHEDULER.name)))
    (folder / "model_index.json").write_text(json.dumps(pipeline_index(made, inpainting=False), indent=2))
    return folder


def _save(model: Any, folder: Path, **options: Any) -> None:
    """save_pretrained; with the variant fp16 the weights in half precision, which are given back as they were."""
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    if options.get("variant") == "fp16":
        model.half()
    model.save_pretrained(folder, **options)
    model.float().load_state_dict(kept)


def write_as_transformers5(folder: Path) -> Path:
    """Each tokenizer of the checkpoint in `folder` as transformers 5 writes it: tokenizer.json and its config alone."""
    for tokenizer in sorted(folder.glob("tokenizer*")):
        # The same but for one regular expression; what transformers 5 leaves out of the config stands in the file.
        CLIPTokenizerFast.from_pretrained(tokenizer).save_pretrained(tokenizer)
        config: dict[str, Any] = json.loads((tokenizer / "tokenizer_config.json").read_bytes())
        kept = {
            key: value for key, value in config.items() if key not in ("added_tokens_decoder", "extra_special_tokens")
        }
        kept |= {"backend": "tokenizers", "is_local": True, "tokenizer_class": "CLIPTokenizer"}
        (tokenizer / "tokenizer_config.json").write_text(json.dumps(kept, indent=2))
        for name in ("vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json"):
            (tokenizer / name).unlink(missing_ok=True)
    return folder


def write_cache(folder: Path, content: Path, repository: str, commit: str = COMMIT) -> Path:
    """The folder of `repository` (ORG/NAME) in a Hugging Face cache `folder`, main at `commit`, the files of `content`."""
    made = folder / f"models--{repository.replace('/', '--')}"
    (made / "blobs").mkdir(parents=True)
    (made / "refs").mkdir()
    (made / "refs" / "main").write_text(commit)
    for number, file in enumerate(sorted(path for path in content.rglob("*") if path.is_file())):
        blob = made / "blobs" / f"{number:040x}"
        blob.write_bytes(file.read_bytes())
        link = made / "snapshots" / commit / file.relative_to(content)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    return made


def _saved(**options: Any) -> Callable[[Path], Path]:
    return lambda folder: write_folder(folder / "checkpoint", **options)


def _half(component: str, key: str, weight: Tensor) -> Tensor:
    return weight.half().float()


def _transformers5(folder: Path) -> Path:
    return write_as_transformers5(write_folder(folder / "checkpoint"))


def _cache(folder: Path) -> Path:
    return write_cache(folder / "hub", write_folder(folder / "saved"), "someone/a-style")


def _of_pipeline(name: str, **parts: list[str]) -> Callable[[Path], Path]:
    """A folder that another pipeline of diffusers saved, with these parts besides."""

    def build(folder: Path) -> Path:
        path = write_folder(folder / "checkpoint") / "model_index.json"
        path.write_text(json.dumps(json.loads(path.read_bytes()) | {"_class_name": name} | parts))
        return path.parent

    return build


def _lcm(folder: Path) -> Path:
    """As diffusers saves LCM_Dreamshaper_v7: the pipeline's name, and a UNet that takes the guidance scale."""
    path = _of_pipeline("LatentConsistencyModelPipeline")(folder) / "unet"
    config = json.loads((path / "config.json").read_bytes()) | {"time_cond_proj_dim": _GUIDANCE.shape[1]}
    (path / "config.json").write_text(json.dumps(config))
    weights = path / "diffusion_pytorch_model.safetensors"
    save_file(load_file(weights) | {_COND: _GUIDANCE}, weights, {"format": "pt"})
    return path.parent


def _pointer(*files: str) -> Callable[[Path], Path]:
    """A folder in which Git LFS' pointers stand for these files."""

    def build(folder: Path) -> Path:
        path = write_folder(folder / "checkpoint")
        for file in files:
            (path / file).parent.mkdir(exist_ok=True)
            (path / file).write_text(LFS_POINTER)
        return path

    return build


def _vae(**options: Any) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        _save(models_of("sd1")["vae"], folder / "vae", **options)
        return folder / "vae"

    return build


_FP16 = {"variant": "fp16"}
_TORCH = {"safe_serialization": False}
_SHARDS = {"max_shard_size": "1MB"}

FOLDERS: dict[str, FileKind] = {
    "folder": FileKind("checkpoint", _saved()),
    "folder-transformers5": FileKind("checkpoint", _transformers5),
    "folder-shards": FileKind("checkpoint", _saved(**_SHARDS)),
    "folder-bin": FileKind("checkpoint", _saved(**_TORCH)),
    "folder-bin-shards": FileKind("checkpoint", _saved(**_TORCH, **_SHARDS)),
    "folder-fp16": FileKind("checkpoint", _saved(**_FP16), rounding=_half),
    "folder-fp16-shards": FileKind("checkpoint", _saved(**_FP16, **_SHARDS), rounding=_half),
    "folder-fp16-bin": FileKind("checkpoint", _saved(**_FP16, **_TORCH), rounding=_half),
    "folder-cache": FileKind("checkpoint", _cache),
    "folder-pag": FileKind("checkpoint", _of_pipeline("StableDiffusionPAGPipeline")),
    "folder-lcm": FileKind("checkpoint", _lcm, more={"unet": {_COND: _GUIDANCE}}),
    "folder-controlnet": FileKind(
        "checkpoint",
        _of_pipeline("StableDiffusionControlNetPipeline", controlnet=["diffusers", "ControlNetModel"]),
        refused="the pipeline is 'StableDiffusionControlNetPipeline', which cannot be exported",
    ),
    "folder-lfs-beside": FileKind(
        "checkpoint",
        _pointer("safety_checker/model.safetensors", "unet/diffusion_pytorch_model.non_ema.safetensors"),
    ),
    "folder-lfs": FileKind(
        "checkpoint",
        _pointer("unet/diffusion_pytorch_model.safetensors"),
        refused="a Git LFS pointer, not the file itself; run `git lfs pull`",
    ),
    "vae-folder": FileKind("vae", _vae()),
    "vae-folder-fp16": FileKind("vae", _vae(**_FP16), rounding=_half),
    "vae-folder-bin-shards": FileKind("vae", _vae(**_TORCH, **_SHARDS)),
}
