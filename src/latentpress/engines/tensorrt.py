"""ONNX Runtime's TensorRT provider: engines built on the GPU they run on, kept in the bundle under engines/.

For data-centre GPUs (A100, H100, H200, B200). The names of the options are those of onnxruntime-gpu 1.31
(onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider), whose provider links TensorRT 10.
"""

import time
from pathlib import Path

from latentpress.bundle.info import Bundle, Precision, file_sha256
from latentpress.engines.batching import BucketedSession, buckets_up_to
from latentpress.engines.choice import EngineChoice
from latentpress.engines.cuda import cuda_options
from latentpress.engines.devices import Gpu, require_gpu
from latentpress.engines.keys import engine_key
from latentpress.engines.onnxruntime_gpu import BoundSession, open_onnxruntime, torch_stream
from latentpress.engines.proof import component_precision
from latentpress.engines.records import EngineRecord, engine_folder, read_record, require_engine
from latentpress.engines.session import Session
from latentpress.engines.shapes import ShapeProfile, parse_profile

CHOICE = EngineChoice("tensorrt")
# Workspace for tactics; TensorRT takes less where it needs less.
_WORKSPACE = 8 << 30


def open_tensorrt(bundle: Bundle, component: str) -> Session:
    """The built engine of `component`; raises BundleError for one that is missing, stale or of another GPU."""
    gpu = require_gpu("tensorrt")
    folder = engine_folder(bundle, "tensorrt", gpu.target)
    built = read_record(folder, component)
    profile = parse_profile(bundle.info, built.key.get("shapes", "") if built else "")
    require_engine(folder, component, tensorrt_key(bundle, component, gpu, profile), built_for=gpu.name)
    return _session(bundle, component, profile, folder)


def build_tensorrt(bundle: Bundle, component: str, profile: ShapeProfile) -> tuple[Session, EngineRecord]:
    """Build `component`'s engine for the GPU at hand: minutes. The record is not yet written; nor is it proved."""
    gpu = require_gpu("tensorrt")
    folder = engine_folder(bundle, "tensorrt", gpu.target)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{component}.engine/*"):
        old.unlink()
    started = time.perf_counter()
    session = _session(bundle, component, profile, folder)
    seconds = time.perf_counter() - started
    # The engine cache of a component has a folder of its own, so that all of its files are known.
    made = {
        f"{component}.engine/{file.name}": file_sha256(file) for file in sorted(folder.glob(f"{component}.engine/*"))
    }
    key = tensorrt_key(bundle, component, gpu, profile)
    return session, EngineRecord(component=component, key=key, files=made, seconds=seconds)


def tensorrt_key(bundle: Bundle, component: str, gpu: Gpu, profile: ShapeProfile) -> dict[str, str]:
    """The key of an engine tuned on `gpu`: the model as well as the architecture, and the driver."""
    return engine_key(
        bundle,
        component,
        CHOICE,
        device=f"{gpu.name} {gpu.target}",
        driver=gpu.driver,
        profile=profile,
        options=build_options(component, component_precision(component, bundle.info.precision)),
    )


def build_options(component: str, precision: Precision) -> dict[str, str]:
    """The options that shape an engine. precision: of the component's graph, whose types TensorRT is to keep to."""
    return {
        # Without these flags TensorRT would run a graph of that type in float32.
        "trt_fp16_enable": "1" if precision == "fp16" else "0",
        "trt_bf16_enable": "1" if precision == "bf16" else "0",
        # A LayerNorm in float16 overflows where a text encoder's residual stream is large.
        "trt_layer_norm_fp32_fallback": "1" if precision == "fp16" else "0",
        "trt_builder_optimization_level": "4" if component == "unet" else "3",
        "trt_max_workspace_size": str(_WORKSPACE),
    }


def tensorrt_options(
    component: str, precision: Precision, profile: ShapeProfile, folder: Path, stream: int
) -> dict[str, str]:
    """Options of the TensorRT provider. folder: of the engines for this GPU; stream: a cudaStream_t's address."""
    low, best, high = profile_texts(component, profile)
    return {
        "device_id": "0",
        "user_compute_stream": str(stream),
        **build_options(component, precision),
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


def _session(bundle: Bundle, component: str, profile: ShapeProfile, folder: Path) -> Session:
    stream = torch_stream("tensorrt")
    precision = component_precision(component, bundle.info.precision)
    options = tensorrt_options(component, precision, profile, folder, int(stream.cuda_stream))
    fallback = cuda_options(int(stream.cuda_stream), bundle.info.precision, graphs=False)
    session = open_onnxruntime(
        bundle.file(f"{component}.onnx"),
        "tensorrt",
        # What TensorRT leaves, CUDA takes.
        [("TensorrtExecutionProvider", options), ("CUDAExecutionProvider", fallback)],
    )
    bound = BoundSession(session, stream, "onnxruntime-tensorrt", graphs=False)
    return BucketedSession(bound, buckets_up_to(profile.batch_of(component).high))
