"""Gathers what an export starts from: a checkpoint in a folder or one file, a separate VAE, LoRA files to fuse."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from latentpress.bundle.info import Family, Lora, PredictionType, SeparateVae, file_sha256
from latentpress.errors import CheckpointError, LoraError
from latentpress.export.families import TITLES
from latentpress.export.lora import fuse_lora
from latentpress.export.reading.checkpoint import load_components, source_sha256
from latentpress.export.reading.components import Components, with_prediction, with_vae
from latentpress.export.reading.single_file import assembled, open_single_file
from latentpress.export.reading.vae_file import load_vae, vae_sha256


@dataclass(frozen=True)
class Source:
    """What to export: see `latentpress.export.export_bundle`. loras: (file, scale), in the order they are fused."""

    checkpoint: Path
    vae: Path | None = None
    loras: tuple[tuple[Path, float], ...] = ()
    family: Family | None = None
    prediction_type: PredictionType | None = None


@dataclass(frozen=True)
class Loaded:
    """A `Source` in memory: its models with every LoRA fused, and what a bundle says of where they came from.

    name: the checkpoint's own; sha256: of its file, or of its folder's contents; notes: a line for each decision.
    """

    parts: Components
    name: str
    sha256: str
    loras: list[Lora]
    vae: SeparateVae | None
    notes: list[str]


def load_source(source: Source) -> Loaded:
    """Load `source`; raises CheckpointError and LoraError naming the file that cannot be used."""
    for path, _scale in source.loras:
        if not path.is_file():  # said before gigabytes are read
            raise LoraError(f"{path}: no such file; check the path (a scale is written FILE:0.8)")
    checkpoint = source.checkpoint
    parts, notes = _file(source) if checkpoint.is_file() else _folder(source)
    vae = None
    if source.vae is not None:
        vae = SeparateVae(source=source.vae.resolve().name, sha256=vae_sha256(source.vae))
        notes.append(f"vae {vae.source}")
    loras = _fused(source.loras, parts)
    notes += [f"lora {lora.source} at {lora.scale:g}: {lora.layers} layers" for lora in loras]
    name = checkpoint.stem if checkpoint.is_file() else checkpoint.resolve().name
    digest = file_sha256(checkpoint) if checkpoint.is_file() else source_sha256(checkpoint)
    return Loaded(parts, name, digest, loras, vae, notes)


def _file(source: Source) -> tuple[Components, list[str]]:
    opened = open_single_file(source.checkpoint, prediction_type=source.prediction_type)
    _check_family(source, opened.family)
    return assembled(opened, source.vae), [f"{opened.path.name}: {TITLES[opened.family]}, {opened.prediction}"]


def _folder(source: Source) -> tuple[Components, list[str]]:
    parts = load_components(source.checkpoint)
    _check_family(source, parts.family)
    told = "its scheduler says so" if source.prediction_type is None else "as asked for"
    if source.prediction_type is not None:
        parts = with_prediction(str(source.checkpoint), parts, source.prediction_type)
    if source.vae is not None:
        parts = with_vae(str(source.vae), parts, load_vae(source.vae, parts.family))
    name = source.checkpoint.resolve().name
    prediction = parts.scheduler.get("prediction_type", "epsilon")
    return parts, [f"{name}: {TITLES[parts.family]}, {prediction}: {told}"]


def _check_family(source: Source, found: Family) -> None:
    if source.family not in (None, found):
        raise CheckpointError(
            f"{source.checkpoint}: is {TITLES[found]}, not {TITLES[source.family]}, as the family asked for; "
            "give another checkpoint, or leave the family out"
        )


def _fused(loras: Sequence[tuple[Path, float]], parts: Components) -> list[Lora]:
    models = {"unet": parts.unet, **{part.component: part.model for part in parts.texts}}
    return [fuse_lora(path, scale, models, parts.family) for path, scale in loras]
