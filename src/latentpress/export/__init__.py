"""Turns a diffusers checkpoint folder into a bundle of ONNX graphs. Imports torch only when an export starts."""

from collections.abc import Callable, Sequence
from pathlib import Path

from latentpress.runtime.bundle import BundleInfo

__all__ = ["export_bundle"]


def export_bundle(
    source: Path,
    output: Path,
    concepts: Sequence[Path] = (),
    *,
    name: str | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> BundleInfo:
    """Export the checkpoint folder `source`, with `concepts` baked in, to the bundle folder `output`.

    name: what bundle.json calls it, by default the checkpoint folder's name. report: gets one line per stage.
    Nothing appears at `output` unless every graph agrees with torch. Raises UsageError and its kinds.
    """
    from latentpress.export.pipeline import run_export

    return run_export(Path(source), Path(output), [Path(file) for file in concepts], name=name, report=report)
