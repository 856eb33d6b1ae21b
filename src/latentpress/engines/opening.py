"""Opens one component of a bundle on the chosen engine. Imports an engine's package when it is asked for, not before."""

from latentpress.bundle.info import Bundle
from latentpress.engines.choice import EngineChoice, check_choice
from latentpress.engines.cpu import OnnxCpuSession
from latentpress.engines.session import Session


def open_session(bundle: Bundle, component: str, choice: EngineChoice, threads: int | None = None) -> Session:
    """The session of `component` (text_encoder, unet, ...) of `bundle` on the engine `choice`.

    threads: of a CPU engine, None for all cores. Raises UsageError for a bundle made for other engines, BundleError for
    a built engine that is stale or foreign, EnvironmentFailure for what this machine lacks.
    """
    check_choice(bundle.info, choice)
    graph = bundle.file(f"{component}.onnx")
    if choice.name == "cpu":
        return OnnxCpuSession(graph, threads)
    if choice.name == "openvino":
        from latentpress.engines.openvino import OpenVinoSession

        return OpenVinoSession(graph, precision=choice.precision or "f32", threads=threads)
    if choice.name == "cuda":
        from latentpress.engines.cuda import open_cuda

        return open_cuda(graph, bundle.info.precision, graphs=component == "unet")
    if choice.name == "tensorrt":
        from latentpress.engines.tensorrt import open_tensorrt

        return open_tensorrt(bundle, component)
    from latentpress.engines.tensorrt_rtx import open_tensorrt_rtx

    return open_tensorrt_rtx(bundle, component)
