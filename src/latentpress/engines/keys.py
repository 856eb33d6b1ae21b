"""The key of an engine: everything that can make it stale, as text. records.PARTS lists the parts."""

import json
from importlib.metadata import PackageNotFoundError, version

from latentpress.bundle.info import Bundle
from latentpress.engines.engine import EngineChoice, Place
from latentpress.engines.records import graph_hash
from latentpress.engines.shapes import ShapeProfile


def engine_key(
    bundle: Bundle, component: str, choice: EngineChoice, place: Place, profile: ShapeProfile | None = None
) -> dict[str, str]:
    """The key that `component`'s engine has at `place` now. profile: of an engine that is built for ranges of shapes."""
    parts = choice.kind.key_parts(bundle, component, place)
    return {
        "graph": graph_hash(bundle, component),
        "engine": str(choice),
        "provider": package_versions(choice),
        "device": parts.device,
        "driver": parts.driver,
        "precision": choice.precision or bundle.info.component(component).precision,
        "shapes": "any" if profile is None else str(profile),
        "options": json.dumps(dict(parts.options), sort_keys=True),
    }


def package_versions(choice: EngineChoice) -> str:
    """The versions of the packages that build and run the engine, e.g. `onnxruntime-gpu 1.31.1, tensorrt 10.13.0`."""
    found: list[str] = []
    for package in choice.kind.packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found) or "none"
