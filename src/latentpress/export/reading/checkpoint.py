"""Opens a diffusers checkpoint folder; one sentence for each way it can be broken.

Of its parts only those that an export needs are looked at: a safety checker may be damaged, or not there.
"""

import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from latentpress.bundle.info import file_sha256
from latentpress.errors import CheckpointError
from latentpress.export.families import FAMILIES, family_for, pipelines
from latentpress.export.families.family import SCHEDULER, Component, Family
from latentpress.export.reading.clip_versions import WHOLE, split_tokenizer
from latentpress.export.reading.components import Components, assemble, check_scheduler, model_from
from latentpress.export.reading.folder_weights import WeightFile, read_state, weight_file, weights_in
from latentpress.export.reading.unet_names import LONE, UNET_CLASS
from latentpress.export.reading.whole_file import check_safetensors, read_json, refuse_pointer

INDEX = "model_index.json"
_MODEL_CONFIG = "config.json"
_VOCABULARY = "vocab.json"
# Parts beside those of a family that draw nothing themselves: pipelines that hold them draw as without.
_BESIDE = ("safety_checker", "feature_extractor", "image_encoder", "watermark")


def check_checkpoint(folder: Path, variant: str | None = None) -> None:
    """Look at `folder` without loading it; raises CheckpointError for what is missing, foreign or cut short."""
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: no such file or folder; give a checkpoint's folder in the diffusers layout, its .safetensors or "
            ".ckpt file, or `demo`"
        )
    index = _read_index(folder)
    _check_pipeline(folder, index)
    needed = needed_components(index)
    for component in needed:
        if (file := _missing(folder / component.name, component)) is not None:
            raise CheckpointError(
                f"{folder / component.name}: {file} is missing; download the whole checkpoint, "
                f"{', '.join(each.name for each in needed)} are needed"
            )
        named, kind = _class_named(index, component.name), component.class_name
        # The Fast tokenizer of the same name reads the same files.
        if kind is not None and named not in (kind, f"{kind}Fast"):
            raise CheckpointError(f"{folder / INDEX}: {component.name} is {named!r}, only {kind} can be exported")
    for file in _model_files(folder, needed, variant):
        if file.suffix == ".safetensors":
            check_safetensors(file)
        else:
            refuse_pointer(file, CheckpointError)


def needed_components(index: dict[str, Any]) -> tuple[Component, ...]:
    """The components an export of the pipeline in `index` needs: the SDXL refiner has no first text encoder."""
    return _family(index).components


def _read_index(folder: Path) -> dict[str, Any]:
    config = folder / _MODEL_CONFIG
    if not (folder / INDEX).is_file() and config.is_file() and read_json(config).get("_class_name") == UNET_CLASS:
        raise CheckpointError(f"{folder}: {LONE}")
    files = sorted(file.name for file in folder.iterdir() if file.suffix in (".safetensors", ".ckpt"))
    if files and not (folder / INDEX).is_file():
        raise CheckpointError(
            f"{folder}: has no {INDEX}, so it is no checkpoint in the diffusers layout; give a file in it, "
            f"e.g. {folder / files[0]}"
        )
    return read_json(folder / INDEX)


def _check_pipeline(folder: Path, index: dict[str, Any]) -> None:
    """Raise CheckpointError for a pipeline that is none of ours and has not the parts of one of ours alone."""
    found = index.get("_class_name")
    if found in pipelines():
        return
    named = {key: name for key in index if (name := _class_named(index, key)) is not None and key not in _BESIDE}
    for family in FAMILIES.values():
        own = {each.name: each.class_name for each in family.components}
        if named.keys() == own.keys() and all(
            own[key] in (None, name, str(name).removesuffix("Fast")) for key, name in named.items()
        ):
            return
    raise CheckpointError(
        f"{folder / INDEX}: the pipeline is {found!r}, which cannot be exported; "
        f"it must be one of {', '.join(pipelines())}, or have the same parts"
    )


def _missing(folder: Path, component: Component) -> str | None:
    """The file that the component's folder lacks, if it lacks one."""
    if component.file == _VOCABULARY and (folder / WHOLE).is_file():
        return None
    return None if (folder / component.file).is_file() else component.file


def _family(index: dict[str, Any], unet: Any = None) -> Family:
    """The family of the pipeline in `index`; without the UNet's configuration any that has its components."""
    encoders = {encoder.name for family in FAMILIES.values() for encoder in family.text_encoders}
    named = {name for name in encoders if _class_named(index, name) is not None}
    return family_for(str(index.get("_class_name")), named, unet)


def _class_named(index: dict[str, Any], component: str) -> Any:
    entry: Any = index.get(component)
    return entry[1] if isinstance(entry, list) and len(entry) == 2 else None  # pyright: ignore[reportUnknownArgumentType]


def load_components(folder: Path, variant: str | None = None) -> Components:
    """Check and load the checkpoint in `folder`; raises CheckpointError.

    variant: of the weights, where a part has several (see `folder_weights.weight_file`).
    """
    check_checkpoint(folder, variant)
    index = _read_index(folder)
    needed = needed_components(index)
    scheduler = read_json(folder / SCHEDULER.name / SCHEDULER.file)
    check_scheduler(str(folder), scheduler)  # before weights of some gigabytes are read
    models = {each.name: _load(folder / each.name, each, variant) for each in needed if each.class_name is not None}
    family = _family(index, models[_family(index).denoiser.component.name].config)
    return assemble(str(folder), family, models, scheduler, index)


def _load(folder: Path, component: Component, variant: str | None) -> Any:
    """The model or tokenizer in `folder`. A model's weights stay in their files, mapped, until something is done to them."""
    if component.file != _MODEL_CONFIG:
        return _load_tokenizer(folder, component)
    weights = weight_file(folder, variant)
    config, state = read_json(folder / component.file), read_state(weights)
    try:
        return model_from(component, config, state)
    except (CheckpointError, RuntimeError):
        pass  # the libraries below know older names of weights, and say what is wrong where that does not help
    options: dict[str, Any] = {
        "use_safetensors": weights.set.kind == "safetensors",
        "variant": weights.set.variant or None,
    }
    if component.library == "diffusers":
        options["low_cpu_mem_usage"] = False  # it needs accelerate, which we do not depend on
    return _from_pretrained(folder, component, **options)


def _load_tokenizer(folder: Path, component: Component) -> Any:
    if (folder / component.file).is_file():
        return _from_pretrained(folder, component)
    with tempfile.TemporaryDirectory() as work:
        split_tokenizer(folder, Path(work))
        return _from_pretrained(Path(work), component, folder)


def _from_pretrained(folder: Path, component: Component, named: Path | None = None, **options: Any) -> Any:
    """What the component's library makes of `folder`; an error calls it `named`."""
    try:
        return component.load_class().from_pretrained(folder, local_files_only=True, **options)
    except Exception as error:
        # Whatever the libraries raise here (theirs are many) means that the folder does not hold what it should.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{named or folder}: cannot be loaded as {component.class_name}: {reason}") from error


def source_sha256(folder: Path, variant: str | None = None) -> str:
    """One sha256 over the names and contents of the checkpoint's configs, tokenizer files and the weights that are read."""
    needed = needed_components(_read_index(folder))
    read = set(_model_files(folder, needed, variant))
    files: list[Path] = [folder / INDEX]
    for name in sorted(each.name for each in needed):
        others = weights_in(folder / name) - read
        files += [file for file in sorted((folder / name).iterdir()) if file not in others]
    return digest_of(folder, files)


def _model_files(folder: Path, needed: Iterable[Component], variant: str | None) -> list[Path]:
    """The files of weights, and indices of shards, that are read of the checkpoint in `folder`."""
    files: list[Path] = []
    for component in needed:
        if component.file == _MODEL_CONFIG:
            found: WeightFile = weight_file(folder / component.name, variant)
            files += dict.fromkeys([found.path, *found.files])
    return files


def digest_of(folder: Path, files: Iterable[Path]) -> str:
    """One sha256 over the names, relative to `folder`, and the contents of those `files` that are files."""
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            digest.update(f"{file.relative_to(folder).as_posix()}\0{file_sha256(file)}\n".encode())
    return digest.hexdigest()
