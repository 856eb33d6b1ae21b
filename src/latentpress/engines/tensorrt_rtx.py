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
from latentpress.engines.devices import Machine
from latentpress.engines.engine import Built, BuiltComponent, Engine, EngineChoice, Finding, KeyParts, Place, Session
from latentpress.engines.onnxruntime_gpu import tf32_bound
from latentpress.engines.tensorrt_rtx_builder import build_engine, lacking_plugin, plugin_module, write_context
from latentpress.errors import BundleError, EnvironmentFailure, UsageError

# The graph with the one EPContext node that names the engine file.
CONTEXT_SUFFIX = ".context.onnx"
# Architectures that the plug-in 0.5 runs; the builder knows sm75 and sm80 too.
TARGETS = ("sm86", "sm89", "sm120", "sm121")


class PluginSession:
    """An ONNX Runtime session with the plug-in provider, fed from the CPU's memory.

    A UNet call of 16 rows moves 6 MB, which takes a millisecond where the call takes hundreds: binding GPU memory through
    the plug-in's own allocator is not worth its price in code.
    """

    note = ""

    def __init__(self, session: Any) -> None:
        self.engine = EngineChoice(TENSORRT_RTX)
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        found = self._session.run(self._outputs, dict(inputs))
        return {name: np.asarray(array) for name, array in zip(self._outputs, found, strict=True)}


def build_options(bundle: Bundle) -> dict[str, str]:
    """What the builder is told. Networks are strongly typed, so that the precision is the graph's."""
    return {"strongly_typed": "1", "tf32": "0" if bundle.info.precision == "fp32" else "1"}


def plugin_options(folder: Path) -> dict[str, str]:
    """Options of the plug-in provider. folder: of the engines, where what it tunes on the GPU is kept."""
    return {
        "nv_runtime_cache_path": str(folder / "runtime-cache"),
        # Shapes are few (batching.py), and each is captured when it first comes.
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


def _open(built: BuiltComponent) -> Session:
    session = open_plugin(built.folder / f"{built.component}{CONTEXT_SUFFIX}", built.folder)
    return BucketedSession(PluginSession(session), buckets_up_to(built.profile.batch_of(built.component).high))


def _build(built: BuiltComponent) -> tuple[list[Path], None]:
    """Raises EnvironmentFailure without the packages, UsageError for an architecture TensorRT for RTX does not serve."""
    component, target = built.component, built.place.target
    if target not in TARGETS:
        raise UsageError(
            f"--device {target}: TensorRT for RTX serves {', '.join(TARGETS)}; on other GPUs use --engine tensorrt or cuda"
        )
    built.folder.mkdir(parents=True, exist_ok=True)
    engine, context = built.folder / f"{component}.engine", built.folder / f"{component}{CONTEXT_SUFFIX}"
    tf32 = build_options(built.bundle)["tf32"] == "1"
    engine.write_bytes(build_engine(built.graph, built.profile.inputs(component), target, tf32=tf32))
    write_context(built.graph, engine, context, target)
    return [engine, context], None


def _key_parts(bundle: Bundle, component: str, place: Place) -> KeyParts:
    return KeyParts(place.target, options=build_options(bundle))


def _findings(machine: Machine) -> list[Finding]:
    """Of running engines, and of building them, which needs no GPU."""
    name = "tensorrt-rtx (build only)"
    if {"onnxruntime-ep-nv-tensorrt-rtx-cu13", "tensorrt-rtx-cu13-bindings"} <= machine.packages.keys():
        build = Finding(name, True, "engines can be built here for any RTX card: --device sm86, sm89, sm120")
    else:
        build = Finding(name, False, "the builder is not installed", TENSORRT_RTX.install)
    return [_run_finding(machine), build]


def _run_finding(machine: Machine) -> Finding:
    if not machine.gpus:
        return Finding("tensorrt-rtx", False, "no NVIDIA GPU")
    gpu = machine.gpus[0]
    if gpu.target not in TARGETS:
        return Finding("tensorrt-rtx", False, f"{gpu.name} is {gpu.target}; served are {', '.join(TARGETS)}")
    if not any(name.startswith("onnxruntime-ep-nv-tensorrt-rtx") for name in machine.packages):
        return Finding("tensorrt-rtx", False, "the plug-in is not installed", TENSORRT_RTX.install)
    return Finding("tensorrt-rtx", True, gpu.name)


TENSORRT_RTX = Engine(
    "tensorrt-rtx",
    open=Built(_build, _open, elsewhere=True),
    # As TensorRT: no float32 kernel for opset 23's Attention.
    fastest_in=(("fp32", "plain"),),
    bound=tf32_bound,
    on_gpu=True,
    one_length=True,
    # Not ONNX Runtime: it only carries the plug-in, which carries TensorRT for RTX, and an engine outlives it.
    packages=("onnxruntime-ep-nv-tensorrt-rtx-cu13", "onnxruntime-ep-nv-tensorrt-rtx-cu12"),
    looked_for=("onnxruntime-ep-nv-tensorrt-rtx-cu13", "tensorrt-rtx-cu13-bindings"),
    install="pip install 'latentpress[tensorrt-rtx]'",
    findings=_findings,
    lacking=lacking_plugin,
    key_parts=_key_parts,
)
