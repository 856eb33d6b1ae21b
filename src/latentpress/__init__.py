"""latentpress renders manifests of Stable Diffusion jobs through exported ONNX engines.

    folder = latentpress.OutputFolder(latentpress.read_manifest("my.yaml"), "out/mine")
    folder.render()

docs/python.md has the tour. Everything in `__all__` is imported when it is first used, so `import latentpress` is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from latentpress.version import __version__

if TYPE_CHECKING:
    from latentpress.batch.executors.local import Settings
    from latentpress.batch.folder import OutputFolder
    from latentpress.batch.plan.job import Job
    from latentpress.batch.plan.plan import Plan
    from latentpress.batch.render import Executor, Summary
    from latentpress.batch.run import Outcome
    from latentpress.batch.state.status import Status
    from latentpress.bundle.info import Bundle
    from latentpress.engines.choice import EngineChoice
    from latentpress.errors import (
        BundleError,
        CheckpointError,
        ConceptError,
        EnvironmentFailure,
        LatentpressError,
        LoraError,
        ManifestError,
        OutputLocked,
        ParityError,
        UsageError,
    )
    from latentpress.export import export_bundle
    from latentpress.manifest.manifest import Manifest, read_manifest
    from latentpress.pictures import open_bundle, render_picture, render_pictures
    from latentpress.rerender import Again, Sources, rerender_pictures
    from latentpress.runtime.request import Origin, Rendered, RenderRequest

_ERRORS = (
    *("BundleError", "CheckpointError", "ConceptError", "EnvironmentFailure", "LatentpressError", "LoraError"),
    *("ManifestError", "OutputLocked", "ParityError", "UsageError"),
)
# Name -> the module that has it.
_HOMES = {
    "Again": "rerender",
    "Bundle": "bundle.info",
    "EngineChoice": "engines.choice",
    "Executor": "batch.render",
    "Job": "batch.plan.job",
    "Manifest": "manifest.manifest",
    "Origin": "runtime.request",
    "Outcome": "batch.run",
    "OutputFolder": "batch.folder",
    "Plan": "batch.plan.plan",
    "Rendered": "runtime.request",
    "RenderRequest": "runtime.request",
    "Settings": "batch.executors.local",
    "Sources": "rerender",
    "Status": "batch.state.status",
    "Summary": "batch.render",
    "export_bundle": "export",
    "open_bundle": "pictures",
    "read_manifest": "manifest.manifest",
    "render_picture": "pictures",
    "render_pictures": "pictures",
    "rerender_pictures": "rerender",
    **dict.fromkeys(_ERRORS, "errors"),
}

__all__ = [
    "Again",
    "Bundle",
    "BundleError",
    "CheckpointError",
    "ConceptError",
    "EngineChoice",
    "EnvironmentFailure",
    "Executor",
    "Job",
    "LatentpressError",
    "LoraError",
    "Manifest",
    "ManifestError",
    "Origin",
    "Outcome",
    "OutputFolder",
    "OutputLocked",
    "ParityError",
    "Plan",
    "RenderRequest",
    "Rendered",
    "Settings",
    "Sources",
    "Status",
    "Summary",
    "UsageError",
    "__version__",
    "export_bundle",
    "open_bundle",
    "read_manifest",
    "render_picture",
    "render_pictures",
    "rerender_pictures",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'latentpress' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"latentpress.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
