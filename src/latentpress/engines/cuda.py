"""ONNX Runtime's CUDA provider: IO binding on torch's memory and stream, CUDA graphs of a few fixed batches.

The names of the options are those of onnxruntime-gpu 1.31 (onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider).
"""

from pathlib import Path

from latentpress.bundle.info import Bundle, Precision
from latentpress.engines.batching import BucketedSession, buckets_up_to
from latentpress.engines.devices import Machine
from latentpress.engines.engine import Engine, EngineChoice, Finding, KeyParts, Place, Refusal, Session
from latentpress.engines.memory import is_out_of_memory
from latentpress.engines.onnxruntime_gpu import BoundSession, lacking, open_onnxruntime, tf32_bound, torch_stream
from latentpress.errors import EnvironmentFailure

# The largest batch run at once; rows beyond it go into another call.
MAX_ROWS = 64


def open_cuda(graph: Path, precision: Precision, *, graphs: bool) -> Session:
    """The session of the graph file. graphs: capture CUDA graphs, for a component called again and again.

    precision: of the bundle. Where ONNX Runtime cannot capture the graph (a node of it runs on the CPU, or a kernel of it
    synchronises) it runs without, and its `note` is empty.
    """
    if graphs:
        try:
            bound = _open(graph, precision, graphs=True)
            bound.try_out()
            return BucketedSession(bound, buckets_up_to(MAX_ROWS))
        except EnvironmentFailure:
            raise
        except Exception as error:
            # What fails here is capture, if the same file opens and runs without it.
            if is_out_of_memory(error):
                raise
    return BucketedSession(_open(graph, precision, graphs=False), buckets_up_to(MAX_ROWS))


def cuda_options(stream: int, precision: Precision, *, graphs: bool) -> dict[str, str]:
    """Options of the CUDA provider. stream: a cudaStream_t's address; precision: of the bundle."""
    return {
        "device_id": "0",
        "user_compute_stream": str(stream),
        # The arena is shared with torch's own pool on the same card: take what is asked, not the next power of two.
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "cudnn_conv_use_max_workspace": "1",
        # The graphs made for this provider have their layouts already. With this option 1.31.1 computes any graph's shapes
        # on the GPU: 79 copies between it and the host in the plain UNet of a small SD 1.5, and no capture; without, none.
        "prefer_nhwc": "0",
        # A float32 bundle is for people who want float32; in the others only the autoencoder is, where TF32 will do.
        "use_tf32": "0" if precision == "fp32" else "1",
        "enable_cuda_graph": "1" if graphs else "0",
    }


def shaping_options(precision: Precision) -> dict[str, str]:
    """Those of the options that may change a result, for a record of what was measured."""
    kept = ("cudnn_conv_algo_search", "prefer_nhwc", "use_tf32")
    return {name: value for name, value in cuda_options(0, precision, graphs=False).items() if name in kept}


def _open(graph: Path, precision: Precision, *, graphs: bool) -> BoundSession:
    stream = torch_stream("cuda")  # a new one each time: a capture that failed spoils its stream
    options = cuda_options(int(stream.cuda_stream), precision, graphs=graphs)
    session = open_onnxruntime(graph, "cuda", [("CUDAExecutionProvider", options)])
    return BoundSession(session, stream, EngineChoice(CUDA), graphs=graphs)


def cuda_finding(machine: Machine) -> Finding:
    """What the doctor says of it; TensorRT needs the same and more."""
    if not machine.gpus:
        return Finding("cuda", False, "no NVIDIA GPU")
    if "CUDAExecutionProvider" not in machine.providers:
        return Finding("cuda", False, "ONNX Runtime has no CUDA provider", CUDA.install)
    if machine.cuda is None:
        return Finding("cuda", False, "torch is a build without CUDA, and the buffers are torch's", "pip install torch")
    return Finding("cuda", True, f"{machine.gpus[0].name}")


def _findings(machine: Machine) -> list[Finding]:
    return [cuda_finding(machine)]


def _lacking(precision: str | None) -> str:
    return lacking("cuda")


def _key_parts(bundle: Bundle, component: str, place: Place) -> KeyParts:
    assert place.gpu is not None, "it runs where it is tested"
    options = shaping_options(bundle.info.precision)
    return KeyParts(f"{place.gpu.name} {place.target}", place.gpu.driver, options)


def _open_component(bundle: Bundle, component: str, choice: EngineChoice, threads: int | None) -> Session:
    called_again = bundle.info.component(component).role == "denoiser"
    return open_cuda(bundle.file(f"{component}.onnx"), bundle.info.precision, graphs=called_again)


# The provider's kernels are those of onnxruntime-gpu 1.31: MatMul, Conv and attention have bfloat16, the norms and
# resizing of a UNet do not.
CUDA = Engine(
    "cuda",
    stored="onnxruntime-cuda",
    open=_open_component,
    flavours=("cuda", "mha", "plain", "attention"),
    refusals=(
        Refusal(
            "bf16",
            "ONNX Runtime's CUDA provider has no bfloat16 kernels for GroupNorm and Resize",
            "--precision fp16, or --engine tensorrt",
        ),
    ),
    bound=tf32_bound,
    on_gpu=True,
    packages=("onnxruntime-gpu",),
    install="pip uninstall onnxruntime; pip install 'latentpress[gpu]'",
    findings=_findings,
    lacking=_lacking,
    key_parts=_key_parts,
)
