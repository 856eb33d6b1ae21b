"""Gathers what an export starts from: a checkpoint of any kind or a UNet and its base, a VAE, LoRA files to fuse."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from latentpress.bundle.info import BaseCheckpoint, Lora, PredictionType, SeparateVae
from latentpress.errors import CheckpointError, LoraError
from latentpress.export.families import family_named
from latentpress.export.families.family import Family
from latentpress.export.graphs.fusing import Changes
from latentpress.export.lora import Fusing, Missing, plan_lora
from latentpress.export.reading.components import Components
from latentpress.export.reading.hub import on_disk
from latentpress.export.reading.hub_cache import called, in_cache, revisions_of
from latentpress.export.reading.kinds import Asked, kind_of
from latentpress.export.reading.lone_unet import name_of, open_with_base, unet_sha256
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
    variant: str | None = None
    base: Path | None = None


@dataclass(frozen=True)
class Loaded:
    """A `Source` in memory: its models, what its LoRAs change in them, and what a bundle says of where they came from.

    name: the checkpoint's own; sha256: of its file, or of its folder's contents; base: the checkpoint that a lone UNet's
    other parts are from; revisions: of the repositories of a
    hub it came from, each one's commit; notes: a line for each decision.
    """

    parts: Components
    changes: Changes
    name: str
    sha256: str
    loras: list[Lora]
    vae: SeparateVae | None
    base: BaseCheckpoint | None
    revisions: dict[str, str]
    notes: list[str]


def load_source(source: Source) -> Loaded:
    """Load `source`, all of it on this machine; raises CheckpointError and LoraError naming the file that cannot be used."""
    loras_given = [(in_cache(path), scale) for path, scale in source.loras]
    for path, _scale in loras_given:
        if not path.exists():  # said before gigabytes are read
            raise LoraError(f"{path}: no such file; check the path (a scale is written FILE:0.8)")
    checkpoint = in_cache(source.checkpoint)
    wanted = None if source.family is None else family_named(source.family)
    asked = Asked(source.prediction_type, source.variant)
    base_given = None if source.base is None else in_cache(source.base)
    kind = kind_of(checkpoint)
    opened = kind.open(checkpoint, asked) if base_given is None else open_with_base(checkpoint, base_given, asked)
    if wanted is not None:
        _check_family(checkpoint, opened.family, wanted)
    vae_given = None if source.vae is None else in_cache(source.vae)
    parts, notes = opened.components(vae_given, source.variant), [opened.note]
    vae = None
    if vae_given is not None:
        vae = SeparateVae(source=called(vae_given), sha256=vae_sha256(vae_given, source.variant))
        notes.append(f"vae {vae.source}")
    fusings = _fusings(loras_given, source.lora_missing, parts)
    changes: Changes = {}
    for fusing in fusings:
        notes += [
            f"lora {fusing.record.source} at {fusing.record.scale:g}: {fusing.record.layers} layers",
            *fusing.notes,
        ]
        for layer, own in fusing.changes.items():
            for parameter, more in own.items():
                changes.setdefault(layer, {}).setdefault(parameter, []).extend(more)
    others = [path for path in (base_given, vae_given) if path is not None]
    given = [checkpoint, *others, *(path for path, _ in loras_given)]
    revisions = revisions_of(given)
    return Loaded(
        parts,
        changes,
        kind.name(checkpoint) if base_given is None else name_of(checkpoint),
        kind.sha256(checkpoint, asked) if base_given is None else unet_sha256(checkpoint, source.variant),
        [fusing.record for fusing in fusings],
        vae,
        None if base_given is None else _base_record(base_given, source.variant),
        revisions,
        notes,
    )


def fetched(source: Source, report: Callable[[str], None]) -> Source:
    """`source` with paths on this machine in place of names on a hub, downloaded where its cache lacks them.

    Raises CheckpointError and LoraError.
    """
    return replace(
        source,
        checkpoint=on_disk(source.checkpoint, "checkpoint", variant=source.variant, report=report),
        base=None if source.base is None else on_disk(source.base, "checkpoint", variant=source.variant, report=report),
        vae=None if source.vae is None else on_disk(source.vae, "vae", variant=source.variant, report=report),
        loras=tuple((on_disk(path, "lora", LoraError, report=report), scale) for path, scale in source.loras),
    )


def _base_record(path: Path, variant: str | None) -> BaseCheckpoint:
    kind = kind_of(path)
    return BaseCheckpoint(source=called(path), sha256=kind.sha256(path, Asked(None, variant)))


def _check_family(checkpoint: Path, found: Family, wanted: Family) -> None:
    if found.name != wanted.name:
        raise CheckpointError(
            f"{checkpoint}: is {found.title}, not {wanted.title}, as the family asked for; "
            "give another checkpoint, or leave the family out"
        )


def _fusings(loras: Sequence[tuple[Path, float]], missing: Missing, parts: Components) -> list[Fusing]:
    models = {parts.family.denoiser.component.name: parts.unet, **{part.component: part.model for part in parts.texts}}
    return [plan_lora(path, scale, models, parts.family, missing) for path, scale in loras]
