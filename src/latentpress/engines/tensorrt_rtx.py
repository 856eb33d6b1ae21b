"""TensorRT for RTX: engines built ahead of time (tensorrt_rtx_builder.py), run through ONNX Runtime's plug-in provider.

For workstation GPUs of compute capability 8.6, 8.9 and 12.x. One engine serves every GPU of its architecture: the
last tuning happens on the GPU when it is first opened, and is kept in the cache beside it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from latentpress.bundle.info import Bundle
from latentpress.bundle.inputs import Array
from latentpress.engines.batching import BucketedSession, buckets_up_to
from latentpress.engines.choice import EngineChoice
from latentpress.engines.devices import require_gpu
from latentpress.engines.keys import engine_key
from latentpress.engines.records import engine_folder, read_record, require_engine
from latentpress.engines.session import Session
from latentpress.engines.shapes import ShapeProfile, parse_profile
from latentpress.errors import BundleError, EnvironmentFailure

CHOICE = EngineChoice("tensorrt-rtx")
# The graph with the one EPContext node that names the engine file.
CONTEXT_SUFFIX = ".context.onnx"
# Architectures that the plug-in 0.5 runs; the builder knows sm75 and sm80 too.
TARGETS = ("sm86", "sm89", "sm120", "sm121")
INSTALL = "`pip install 'latentpress[tensorrt-rtx]'` adds it"


class PluginSession:
    """An ONNX Runtime session with the plug-in provider, fed from the CPU's memory.

    A UNet call of 16 rows moves 6 MB, which takes a millisecond where the call takes hundreds: binding GPU memory through
    the plug-in's own allocator is not worth its price in code.
    """

    provider = "tensorrt-rtx"

    def __init__(self, session: Any) -> None:
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        found = self._session.run(self._outputs, dict(inputs))
        return {name: np.asarray(array) for name, array in zip(self._outputs, found, strict=True)}


def open_tensorrt_rtx(bundle: Bundle, component: str) -> Session:
    """The built engine of `component`; raises BundleError for one that is missing, stale or of another architecture."""
    gpu = require_gpu("tensorrt-rtx")
    folder = engine_folder(bundle, "tensorrt-rtx", gpu.target)
    built = read_record(folder, component)
    profile = parse_profile(bundle.info, built.key.get("shapes", "") if built else "")
    key = tensorrt_rtx_key(bundle, component, gpu.target, profile)
    require_engine(folder, component, key, built_for=f"{gpu.name} ({gpu.target})")
    session = open_plugin(folder / f"{component}{CONTEXT_SUFFIX}", folder)
    return BucketedSession(PluginSession(session), buckets_up_to(profile.batch_of(component).high))


def tensorrt_rtx_key(bundle: Bundle, component: str, target: str, profile: ShapeProfile) -> dict[str, str]:
    """The key of an engine for every GPU of the architecture `target` (sm89)."""
    return engine_key(bundle, component, CHOICE, device=target, profile=profile, options=build_options(bundle))


def build_options(bundle: Bundle) -> dict[str, str]:
    """What the builder is told. Networks are strongly typed, so that the precision is the graph's."""
    return {"strongly_typed": "1", "tf32": "0" if bundle.info.precision == "fp32" else "1"}


def plugin_options(folder: Path) -> dict[str, str]:
    """Options of the plug-in provider. folder: of the engines, where what it tunes on the GPU is kept."""
    return {
        "nv_runtime_cache_path": str(folder / "runtime-cache"),
        # Shapes are few (buckets.py), and each is captured when it first comes.
        "enable_cuda_graph": "1",
        # Nothing is allocated in a call, which capture asks for.
        "nv_persistent_context_memory": "1",
    }


def open_plugin(context: Path, folder: Path) -> Any:
    """ONNX Runtime's session of the graph `context` on the plug-in; raises EnvironmentFailure where that cannot start."""
    import onnxruntime

    plugin = plugin_module()
    name = str(plugin.get_ep_name())
    try:
        if not any(device.ep_name == name for device in onnxruntime.get_ep_devices()):
            onnxruntime.register_execution_provider_library(name, str(plugin.get_library_path()))
        devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == name][:1]
    except Exception as error:  # ONNX Runtime raises classes of its own that share no base but Exception
        reason = " ".join(str(error).split())[-300:]
        raise EnvironmentFailure(
            f"engine tensorrt-rtx: ONNX Runtime cannot load the plug-in ({reason}); it needs an NVIDIA driver with CUDA 13"
        ) from None
    if not devices:
        raise EnvironmentFailure(
            "engine tensorrt-rtx: the plug-in offers no GPU; it takes RTX cards of compute capability 8.6, 8.9 and 12.x"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_provider_for_devices(devices, plugin_options(folder))
    try:
        return onnxruntime.InferenceSession(str(context), options)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise BundleError(f"{context}: TensorRT for RTX cannot load it ({reason}); build the engine again") from error


def plugin_module() -> Any:
    """The package of the plug-in provider; raises EnvironmentFailure where it is missing."""
    try:
        import onnxruntime_ep_nv_tensorrt_rtx  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise EnvironmentFailure(
            f"engine tensorrt-rtx: the package onnxruntime-ep-nv-tensorrt-rtx-cu13 is not installed; {INSTALL}"
        ) from None
    return onnxruntime_ep_nv_tensorrt_rtx
