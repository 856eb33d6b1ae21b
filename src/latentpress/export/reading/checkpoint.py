"""Opens a diffusers checkpoint folder; one sentence for each way it can be broken."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from latentpress.bundle.info import file_sha256
from latentpress.errors import CheckpointError
from latentpress.export.reading.components import PIPELINES, Components, assemble, component_classes, model_from

INDEX = "model_index.json"
# component -> (its class, its config file)
COMPONENTS = {
    "text_encoder": ("CLIPTextModel", "config.json"),
    "text_encoder_2": ("CLIPTextModelWithProjection", "config.json"),
    "tokenizer": ("CLIPTokenizer", "vocab.json"),
    "tokenizer_2": ("CLIPTokenizer", "vocab.json"),
    "unet": ("UNet2DConditionModel", "config.json"),
    "vae": ("AutoencoderKL", "config.json"),
    "scheduler": (None, "scheduler_config.json"),
}


def check_checkpoint(folder: Path) -> None:
    """Look at `folder` without loading it; raises CheckpointError for what is missing, foreign or cut short."""
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: no such file or folder; give a checkpoint's folder in the diffusers layout, its .safetensors or "
            ".ckpt file, or `demo`"
        )
    index = _read_json(folder / INDEX)
    found = index.get("_class_name")
    if found not in PIPELINES:
        raise CheckpointError(
            f"{folder / INDEX}: the pipeline is {found!r}, which cannot be exported; "
            f"it must be one of {', '.join(PIPELINES)}"
        )
    needed = needed_components(index)
    for component in needed:
        kind, config = COMPONENTS[component]
        if not (folder / component / config).is_file():
            raise CheckpointError(
                f"{folder / component}: {config} is missing; download the whole checkpoint, {', '.join(needed)} are needed"
            )
        named = _class_named(index, component)
        # The Fast tokenizer of the same name reads the same files.
        if kind is not None and named not in (kind, f"{kind}Fast"):
            raise CheckpointError(f"{folder / INDEX}: {component} is {named!r}, only {kind} can be exported")
    for file in sorted(folder.glob("*/*.safetensors")):
        check_safetensors(file)


def needed_components(index: dict[str, Any]) -> list[str]:
    """The components an export of the pipeline in `index` needs: the SDXL refiner has no first text encoder."""
    unused: set[str] = set()
    if not PIPELINES[index["_class_name"]]:
        unused = {"text_encoder_2", "tokenizer_2"}
    elif _class_named(index, "text_encoder") is None:
        unused = {"text_encoder", "tokenizer"}
    return [component for component in COMPONENTS if component not in unused]


def _class_named(index: dict[str, Any], component: str) -> Any:
    entry: Any = index.get(component)
    return entry[1] if isinstance(entry, list) and len(entry) == 2 else None  # pyright: ignore[reportUnknownArgumentType]


def check_safetensors(file: Path) -> None:
    """Compare the file's length with what its header promises; raises CheckpointError."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        # 100 MB is the format's own limit for a header.
        try:
            header: Any = json.loads(stream.read(length)) if 0 < length <= min(size, 100_000_000) else None
            ends = [int(entry["data_offsets"][1]) for key, entry in header.items() if key != "__metadata__"]
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            raise CheckpointError(f"{file}: not a safetensors file, or cut short; download it again") from None
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise CheckpointError(f"{file}: {size} bytes, its header promises {expected}; download it again")


def load_components(folder: Path) -> Components:
    """Check and load the checkpoint in `folder`; raises CheckpointError."""
    check_checkpoint(folder)
    index = _read_json(folder / INDEX)
    classes = component_classes()
    models = {name: _load(folder / name, classes[name]) for name in needed_components(index) if name in classes}
    scheduler = _read_json(folder / "scheduler" / "scheduler_config.json")
    return assemble(str(folder), index["_class_name"], models, scheduler, index)


def _load(folder: Path, kind: Any) -> Any:
    """The model or tokenizer in `folder`. A model's weights stay in their files, mapped, until something is done to them."""
    from safetensors.torch import load_file

    try:
        if not folder.name.startswith("tokenizer") and (files := _weight_files(folder)):
            config = _read_json(folder / "config.json")
            return model_from(
                folder.name, config, {key: value for file in files for key, value in load_file(file).items()}
            )
    except CheckpointError:
        pass  # the libraries below know older names of weights, and say what is wrong where that does not help
    # low_cpu_mem_usage needs accelerate, which is no dependency of ours.
    options = {"low_cpu_mem_usage": False} if folder.name in ("unet", "vae") else {}
    try:
        return kind.from_pretrained(folder, local_files_only=True, **options)
    except Exception as error:
        # Whatever the libraries raise here (theirs are many) means that the folder does not hold what it should.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{folder}: cannot be loaded as {kind.__name__}: {reason}") from error


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model, one or the shards its index lists; none where it has other kinds."""
    for stem in ("model", "diffusion_pytorch_model"):
        if (single := folder / f"{stem}.safetensors").is_file():
            return [single]
        if (index := folder / f"{stem}.safetensors.index.json").is_file():
            shards = sorted(set(_read_json(index).get("weight_map", {}).values()))
            return [folder / shard for shard in shards]
    return []


def source_sha256(folder: Path) -> str:
    """One sha256 over the names and contents of the checkpoint's configs, tokenizer files and weights."""
    parts = sorted(needed_components(_read_json(folder / INDEX)))
    return digest_of(folder, [folder / INDEX, *(file for part in parts for file in sorted((folder / part).iterdir()))])


def digest_of(folder: Path, files: Iterable[Path]) -> str:
    """One sha256 over the names, relative to `folder`, and the contents of those `files` that are files."""
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            digest.update(f"{file.relative_to(folder).as_posix()}\0{file_sha256(file)}\n".encode())
    return digest.hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); give a checkpoint in the diffusers folder layout"
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error}); download it again") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: not a JSON object; download it again")
    return value  # pyright: ignore[reportUnknownVariableType]
