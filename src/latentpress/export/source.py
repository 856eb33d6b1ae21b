"""Gathers what an export starts from: a checkpoint of any kind, a separate VAE, LoRA files to fuse."""

from dataclasses import dataclass
from pathlib import Path

from latentpress.bundle.info import Lora, PredictionType, SeparateVae
from latentpress.errors import CheckpointError, LoraError
from latentpress.export.families import family_named
from latentpress.export.families.family import Family
from latentpress.export.graphs.fusing import Changes
from latentpress.export.lora import Fusing, Missing, plan_lora
from latentpress.export.reading.components import Components
from latentpress.export.reading.kinds import kind_of
from latentpress.export.reading.vae_file import vae_sha256


@dataclass(frozen=True)
class Source:
    """What to export: see `latentpress.export.export_bundle`. loras: (file or folder, scale), in the order of fusing."""

    checkpoint: Path
    vae: Path | None = None
    loras: tuple[tuple[Path, float], ...] = ()
    family: str | None = None
    prediction_type: PredictionType | None = None
    lora_missing: Missing = "error"


@dataclass(frozen=True)
class Loaded:
    """A `Source` in memory: its models, what its LoRAs change in them, and what a bundle says of where they came from.

    name: the checkpoint's own; sha256: of its file, or of its folder's contents; notes: a line for each decision.
    """

    parts: Components
    changes: Changes
    name: str
    sha256: str
    loras: list[Lora]
    vae: SeparateVae | None
    notes: list[str]


def load_source(source: Source) -> Loaded:
    """Load `source`; raises CheckpointError and LoraError naming the file that cannot be used."""
    for path, _scale in source.loras:
        if not path.exists():  # said before gigabytes are read
            raise LoraError(f"{path}: no such file; check the path (a scale is written FILE:0.8)")
    wanted = None if source.family is None else family_named(source.family)
    kind = kind_of(source.checkpoint)
    opened = kind.open(source.checkpoint, source.prediction_type)
    if wanted is not None:
        _check_family(source.checkpoint, opened.family, wanted)
    parts, notes = opened.components(source.vae), [opened.note]
    vae = None
    if source.vae is not None:
        vae = SeparateVae(source=source.vae.resolve().name, sha256=vae_sha256(source.vae))
        notes.append(f"vae {vae.source}")
    fusings = _fusings(source, parts)
    changes: Changes = {}
    for fusing in fusings:
        notes += [
            f"lora {fusing.record.source} at {fusing.record.scale:g}: {fusing.record.layers} layers",
            *fusing.notes,
        ]
        for layer, own in fusing.changes.items():
            for parameter, more in own.items():
                changes.setdefault(layer, {}).setdefault(parameter, []).extend(more)
    return Loaded(
        parts,
        changes,
        kind.name(source.checkpoint),
        kind.sha256(source.checkpoint),
        [fusing.record for fusing in fusings],
        vae,
        notes,
    )


def _check_family(checkpoint: Path, found: Family, wanted: Family) -> None:
    if found.name != wanted.name:
        raise CheckpointError(
            f"{checkpoint}: is {found.title}, not {wanted.title}, as the family asked for; "
            "give another checkpoint, or leave the family out"
        )


def _fusings(source: Source, parts: Components) -> list[Fusing]:
    models = {parts.family.denoiser.component.name: parts.unet, **{part.component: part.model for part in parts.texts}}
    return [plan_lora(path, scale, models, parts.family, source.lora_missing) for path, scale in source.loras]
