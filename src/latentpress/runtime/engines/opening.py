"""Opens one component of a bundle on the chosen engine. Imports an engine's package when it is asked for, not before."""

from latentpress.runtime.bundle import Bundle
from latentpress.runtime.engines.choice import EngineChoice, check_choice
from latentpress.runtime.session import OnnxCpuSession, Session


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
        from latentpress.runtime.engines.openvino import OpenVinoSession

        return OpenVinoSession(graph, precision=choice.precision or "f32", threads=threads)
    if choice.name == "cuda":
        from latentpress.runtime.engines.cuda import open_cuda

        return open_cuda(graph, bundle.info.precision, graphs=component == "unet")
    if choice.name == "tensorrt":
        from latentpress.runtime.engines.tensorrt import open_tensorrt

        return open_tensorrt(bundle, component)
    from latentpress.runtime.engines.tensorrt_rtx import open_tensorrt_rtx

    return open_tensorrt_rtx(bundle, component)
