"""The key of an engine: everything that can make it stale, as text. Which parts there are stands in records.PARTS."""

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from latentpress.bundle.info import Bundle
from latentpress.engines.choice import EngineChoice
from latentpress.engines.proof import component_precision
from latentpress.engines.records import graph_hash
from latentpress.engines.shapes import ShapeProfile

# The distributions whose versions an engine depends on; those that are not installed are left out.
PACKAGES: dict[str, tuple[str, ...]] = {
    "cpu": ("onnxruntime", "onnxruntime-gpu"),
    "openvino": ("openvino",),
    "cuda": ("onnxruntime-gpu",),
    "tensorrt": ("onnxruntime-gpu", "tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
    # Not ONNX Runtime: it only carries the plug-in, which carries TensorRT for RTX, and an engine outlives it.
    "tensorrt-rtx": ("onnxruntime-ep-nv-tensorrt-rtx-cu13", "onnxruntime-ep-nv-tensorrt-rtx-cu12"),
}


def engine_key(
    bundle: Bundle,
    component: str,
    choice: EngineChoice,
    *,
    device: str,
    driver: str = "none",
    profile: ShapeProfile | str = "any",
    options: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The key of `component`'s engine.

    device: a GPU's name and architecture, or the architecture alone where an engine serves every GPU of it; driver: for
    engines tuned on the GPU; options: those that shape the engine, without paths and pointers.
    """
    return {
        "graph": graph_hash(bundle, component),
        "engine": str(choice),
        "provider": provider_version(choice),
        "device": device,
        "driver": driver,
        "precision": choice.precision or component_precision(component, bundle.info.precision),
        "shapes": str(profile),
        "options": json.dumps(dict(options or {}), sort_keys=True),
    }


def provider_version(choice: EngineChoice) -> str:
    """The versions of the packages that build and run the engine, e.g. `onnxruntime-gpu 1.31.1, tensorrt 10.13.0`."""
    found: list[str] = []
    for package in PACKAGES[choice.name]:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found) or "none"
