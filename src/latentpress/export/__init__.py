"""Turns a checkpoint into a bundle of ONNX graphs. Imports torch only when an export starts."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from latentpress.bundle.info import BundleInfo, Precision, PredictionType
from latentpress.engines.choice import engine_for
from latentpress.engines.engine import EngineChoice
from latentpress.export.reading.concept_paths import AskedConcept

__all__ = ["export_bundle"]


def export_bundle(
    source: Path,
    output: Path,
    concepts: Sequence[Path | AskedConcept] | Mapping[str, Path] = (),
    *,
    vae: Path | None = None,
    base: Path | None = None,
    loras: Sequence[tuple[Path, float]] = (),
    lora_missing: Literal["error", "ignore"] = "error",
    family: str | None = None,
    prediction_type: PredictionType | None = None,
    variant: str | None = None,
    name: str | None = None,
    report: Callable[[str], None] = lambda line: None,
    engine: EngineChoice | None = None,
    precision: Precision = "fp32",
) -> BundleInfo:
    """Export the checkpoint `source`, a diffusers folder or one file, to the bundle folder `output`, `concepts` baked in.

    concepts: files or folders, each under its own name, or a map from the token that prompts use to the file;
    vae: a separate VAE, a folder or a file; base: the checkpoint that `source`, a UNet alone, belongs to and takes all
    other parts from; loras: files or folders to fuse and their scales, in order; lora_missing: what
    to do about layers of theirs that the checkpoint lacks; family: what the checkpoint
    must be, e.g. sdxl; prediction_type: what its UNet predicts, where the checkpoint does not say or is guessed wrongly;
    variant: which of a folder's weights to take where it has several, e.g. fp16; name: what bundle.json calls it, by
    default the folder's name, ORG/NAME in a Hugging Face cache, or the file's stem; report: gets one line per stage.
    docs/checkpoints.md has the formats.

    engine: make the graphs that this engine runs fastest, rather than those that every engine runs, prove them on it
    where it is installed, and render on it by default. precision: of the text encoders and the UNet; the autoencoder
    stays float32.
    Nothing appears at `output` unless every graph agrees with torch. Raises UsageError and its subclasses.
    """
    from latentpress.export.pipeline import run_export
    from latentpress.export.source import Source

    fused = tuple((Path(file), scale) for file, scale in loras)
    given = Source(
        Path(source),
        None if vae is None else Path(vae),
        fused,
        family,
        prediction_type,
        lora_missing,
        variant,
        None if base is None else Path(base),
    )
    return run_export(
        given,
        Path(output),
        concepts,
        name=name,
        report=report,
        precision=precision,
        flavour=engine.kind.fastest(precision) if engine else "plain",
        engine=engine or engine_for(precision),
    )
