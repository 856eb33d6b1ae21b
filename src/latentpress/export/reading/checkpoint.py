"""Opens a diffusers checkpoint folder; one sentence for each way it can be broken."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from latentpress.bundle.info import file_sha256
from latentpress.errors import CheckpointError
from latentpress.export.families import FAMILIES, family_for, pipelines
from latentpress.export.families.family import SCHEDULER, Component, Family
from latentpress.export.reading.components import Components, assemble, model_from
from latentpress.export.reading.weights import read_weights
from latentpress.export.reading.whole_file import check_safetensors

INDEX = "model_index.json"


def check_checkpoint(folder: Path) -> None:
    """Look at `folder` without loading it; raises CheckpointError for what is missing, foreign or cut short."""
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: no such file or folder; give a checkpoint's folder in the diffusers layout, its .safetensors or "
            ".ckpt file, or `demo`"
        )
    index = _read_json(folder / INDEX)
    found = index.get("_class_name")
    if found not in pipelines():
        raise CheckpointError(
            f"{folder / INDEX}: the pipeline is {found!r}, which cannot be exported; "
            f"it must be one of {', '.join(pipelines())}"
        )
    needed = needed_components(index)
    for component in needed:
        if not (folder / component.name / component.file).is_file():
            raise CheckpointError(
                f"{folder / component.name}: {component.file} is missing; download the whole checkpoint, "
                f"{', '.join(each.name for each in needed)} are needed"
            )
        named, kind = _class_named(index, component.name), component.class_name
        # The Fast tokenizer of the same name reads the same files.
        if kind is not None and named not in (kind, f"{kind}Fast"):
            raise CheckpointError(f"{folder / INDEX}: {component.name} is {named!r}, only {kind} can be exported")
    for file in sorted(folder.glob("*/*.safetensors")):
        check_safetensors(file)


def needed_components(index: dict[str, Any]) -> tuple[Component, ...]:
    """The components an export of the pipeline in `index` needs: the SDXL refiner has no first text encoder."""
    return _family(index).components


def _family(index: dict[str, Any], unet: Any = None) -> Family:
    """The family of the pipeline in `index`; without the UNet's configuration any that has its components."""
    encoders = {encoder.name for family in FAMILIES.values() for encoder in family.text_encoders}
    named = {name for name in encoders if _class_named(index, name) is not None}
    return family_for(index["_class_name"], named, unet)


def _class_named(index: dict[str, Any], component: str) -> Any:
    entry: Any = index.get(component)
    return entry[1] if isinstance(entry, list) and len(entry) == 2 else None  # pyright: ignore[reportUnknownArgumentType]


def load_components(folder: Path) -> Components:
    """Check and load the checkpoint in `folder`; raises CheckpointError."""
    check_checkpoint(folder)
    index = _read_json(folder / INDEX)
    needed = needed_components(index)
    models = {each.name: _load(folder / each.name, each) for each in needed if each.class_name is not None}
    scheduler = _read_json(folder / SCHEDULER.name / SCHEDULER.file)
    family = _family(index, models[_family(index).denoiser.component.name].config)
    return assemble(str(folder), family, models, scheduler, index)


def _load(folder: Path, component: Component) -> Any:
    """The model or tokenizer in `folder`. A model's weights stay in their files, mapped, until something is done to them."""
    try:
        # A tokenizer's folder holds no config.json.
        if component.file == "config.json" and (files := _weight_files(folder)):
            config = _read_json(folder / component.file)
            return model_from(
                component, config, {key: value for file in files for key, value in read_weights(file).tensors.items()}
            )
    except CheckpointError:
        pass  # the libraries below know older names of weights, and say what is wrong where that does not help
    # low_cpu_mem_usage needs accelerate, which we do not depend on.
    options = {"low_cpu_mem_usage": False} if component.library == "diffusers" else {}
    try:
        return component.load_class().from_pretrained(folder, local_files_only=True, **options)
    except Exception as error:
        # Whatever the libraries raise here (theirs are many) means that the folder does not hold what it should.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{folder}: cannot be loaded as {component.class_name}: {reason}") from error


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
    parts = sorted(component.name for component in needed_components(_read_json(folder / INDEX)))
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
