"""ONNX Runtime's TensorRT provider: engines built on the GPU they run on, kept in the bundle under engines/.

For data-centre GPUs (A100, H100, H200, B200). The names of the options are those of onnxruntime-gpu 1.31
(onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider), whose provider links TensorRT 10.
"""

from pathlib import Path

from latentpress.bundle.components import Component
from latentpress.bundle.info import Bundle, Precision
from latentpress.engines.batching import BucketedSession, buckets_up_to
from latentpress.engines.cuda import cuda_finding, cuda_options
from latentpress.engines.devices import Machine
from latentpress.engines.engine import (
    BOUNDS,
    Built,
    BuiltComponent,
    Engine,
    EngineChoice,
    Finding,
    KeyParts,
    Place,
    Session,
)
from latentpress.engines.onnxruntime_gpu import BoundSession, lacking, open_onnxruntime, torch_stream
from latentpress.engines.shapes import ShapeProfile

# Workspace for tactics; TensorRT takes less where it needs less.
_WORKSPACE = 8 << 30


def build_options(component: Component) -> dict[str, str]:
    """The options that shape an engine, which is to keep to the types of the component's graph."""
    precision = component.precision
    return {
        # Without these flags TensorRT would run a graph of that type in float32.
        "trt_fp16_enable": "1" if precision == "fp16" else "0",
        "trt_bf16_enable": "1" if precision == "bf16" else "0",
        # A LayerNorm in float16 overflows where a text encoder's residual stream is large.
        "trt_layer_norm_fp32_fallback": "1" if precision == "fp16" else "0",
        "trt_builder_optimization_level": "4" if component.role == "denoiser" else "3",
        "trt_max_workspace_size": str(_WORKSPACE),
    }


def tensorrt_options(component: str, profile: ShapeProfile, folder: Path, stream: int) -> dict[str, str]:
    """Options of the TensorRT provider. folder: of the engines for this GPU; stream: a cudaStream_t's address."""
    low, best, high = profile_texts(component, profile)
    return {
        "device_id": "0",
        "user_compute_stream": str(stream),
        **build_options(profile.info.component(component)),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder / f"{component}.engine"),
        "trt_engine_cache_prefix": component,
        # Shared by the components: tactics timed for one serve the next, and a rebuild takes a fraction of the time.
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
        "trt_profile_min_shapes": low,
        "trt_profile_opt_shapes": best,
        "trt_profile_max_shapes": high,
    }


def profile_texts(component: str, profile: ShapeProfile) -> tuple[str, str, str]:
    """The smallest, best and largest shapes as the provider reads them: `sample:1x4x64x64,timestep:1`."""
    shapes = profile.inputs(component)
    low, best, high = (
        ",".join(f"{name}:{'x'.join(map(str, corners[index]))}" for name, corners in shapes.items())
        for index in range(3)
    )
    return low, best, high


def _open(built: BuiltComponent) -> Session:
    """The session of the engine in `built`'s folder; ONNX Runtime builds it there, in minutes, where it is not."""
    component, info = built.component, built.bundle.info
    stream = torch_stream("tensorrt")
    options = tensorrt_options(component, built.profile, built.folder, int(stream.cuda_stream))
    fallback = cuda_options(int(stream.cuda_stream), info.precision, graphs=False)
    session = open_onnxruntime(
        built.graph,
        "tensorrt",
        # What TensorRT leaves, CUDA takes.
        [("TensorrtExecutionProvider", options), ("CUDAExecutionProvider", fallback)],
    )
    bound = BoundSession(session, stream, EngineChoice(TENSORRT), graphs=False)
    return BucketedSession(bound, buckets_up_to(built.profile.batch_of(component).high))


def _build(built: BuiltComponent) -> tuple[list[Path], Session]:
    built.folder.mkdir(parents=True, exist_ok=True)
    # The engine cache of a component has a folder of its own, so that all of its files are known.
    cache = f"{built.component}.engine/*"
    for old in built.folder.glob(cache):
        old.unlink()
    session = _open(built)
    return sorted(built.folder.glob(cache)), session


def _lacking(precision: str | None) -> str:
    return lacking("tensorrt")


def _key_parts(bundle: Bundle, component: str, place: Place) -> KeyParts:
    """An engine is tuned on the GPU: its model counts as well as its architecture, and the driver."""
    assert place.gpu is not None, "it is built on the GPU it runs on"
    options = build_options(bundle.info.component(component))
    return KeyParts(f"{place.gpu.name} {place.target}", place.gpu.driver, options)


def _bound(own: Precision, bundle: Precision, asked: str | None) -> float:
    """The provider cannot be told to keep float32 graphs out of TF32, whose 10 bits of mantissa are float16's."""
    return BOUNDS["fp16" if own == "fp32" else own]


def _findings(machine: Machine) -> list[Finding]:
    below = cuda_finding(machine)
    if not below.ready:
        return [Finding("tensorrt", False, below.why, below.install)]
    if not any(name in machine.packages for name in ("tensorrt", "tensorrt-cu12", "tensorrt-cu13")):
        return [Finding("tensorrt", False, "TensorRT is not installed", TENSORRT.install)]
    return [Finding("tensorrt", True, f"{machine.gpus[0].name}; engines are built here, once")]


TENSORRT = Engine(
    "tensorrt",
    stored="onnxruntime-tensorrt",
    open=Built(_build, _open),
    # TensorRT has no float32 kernel for opset 23's Attention; the older operators it takes in every precision.
    fastest_in=(("fp32", "plain"),),
    bound=_bound,
    on_gpu=True,
    one_length=True,
    packages=("onnxruntime-gpu", "tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
    looked_for=("tensorrt-cu13", "tensorrt-cu12", "tensorrt"),
    install="pip install 'latentpress[tensorrt]'",
    findings=_findings,
    lacking=_lacking,
    key_parts=_key_parts,
)
