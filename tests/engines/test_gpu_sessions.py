"""How GPU sessions are opened, without a GPU: what is tried, what is given up, and what a person is told."""

from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from latentpress.bundle.inputs import example_inputs
from latentpress.engines import cuda, devices
from latentpress.engines import onnxruntime_gpu as gpu
from latentpress.engines.choice import parse_engine
from latentpress.engines.engine import provider_of
from latentpress.engines.memory import is_out_of_memory
from latentpress.engines.onnxruntime_gpu import BoundSession, open_onnxruntime
from latentpress.errors import BundleError, EnvironmentFailure


class Capturing:
    """ONNX Runtime's session of `path` on the CPU, that says what it was asked to capture, and may refuse."""

    def __init__(self, path, refusal=None):
        self._inner = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.refusal = refusal
        self.graph_ids = []

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def run_with_iobinding(self, binding, options):
        try:
            graph = options.get_run_config_entry(gpu.GRAPH_ID)
        except RuntimeError:  # it was not set
            graph = ""
        self.graph_ids.append(graph)
        if self.refusal is not None and graph not in ("", gpu.NO_GRAPH):
            raise self.refusal
        self._inner.run_with_iobinding(binding, options)


@pytest.fixture
def opened(monkeypatch, bundle):
    """cuda.open_cuda on ordinary memory; the list of (options, session) that were opened; what capture is refused with."""
    state = SimpleNamespace(sessions=[], refusal=None, streams=0)

    def stream(engine):
        state.streams += 1
        return SimpleNamespace(cuda_stream=4711 + state.streams)

    def open_session(path, engine, providers):
        ((name, options),) = providers
        assert name == "CUDAExecutionProvider"
        session = Capturing(path, state.refusal if options["enable_cuda_graph"] == "1" else None)
        state.sessions.append((options, session))
        return session

    monkeypatch.setattr(cuda, "torch_stream", stream)
    monkeypatch.setattr(cuda, "open_onnxruntime", open_session)
    monkeypatch.setattr(
        cuda,
        "BoundSession",
        lambda session, stream, engine, graphs: BoundSession(session, None, engine, graphs=graphs, device="cpu"),
    )
    return state


def test_a_component_called_again_and_again_is_captured_after_a_trial(opened, bundle):
    session = cuda.open_cuda(bundle.file("unet.onnx"), "fp16", graphs=True)
    assert provider_of(session) == "onnxruntime-cuda-graphs"
    ((_, inner),) = opened.sessions
    assert inner.graph_ids == ["-1", "1"], "once to allocate, once captured"
    inputs = example_inputs(bundle.info, "unet", 3, (16, 16))
    for _ in range(3):
        found = session.run(inputs)["noise_pred"]
    np.testing.assert_array_equal(found, inner._inner.run(None, inputs)[0])
    assert inner.graph_ids[2:] == ["-1", "2", "2"], "a shape of its own has a graph of its own"


def test_a_graph_that_cannot_be_captured_runs_without_on_another_stream(opened, bundle):
    opened.refusal = RuntimeError("CUDA failure 900: operation not permitted when stream is capturing")
    session = cuda.open_cuda(bundle.file("unet.onnx"), "fp16", graphs=True)
    assert provider_of(session) == "onnxruntime-cuda"
    (first, _), (second, inner) = opened.sessions
    assert (first["enable_cuda_graph"], second["enable_cuda_graph"]) == ("1", "0")
    assert first["user_compute_stream"] != second["user_compute_stream"], "a failed capture spoils its stream"
    session.run(example_inputs(bundle.info, "unet", 2, (16, 16)))
    assert set(inner.graph_ids) == {""}


def test_memory_that_runs_out_in_the_trial_is_no_refusal_of_capture(opened, bundle):
    opened.refusal = RuntimeError("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED")
    with pytest.raises(RuntimeError, match="ALLOC_FAILED"):
        cuda.open_cuda(bundle.file("unet.onnx"), "fp16", graphs=True)
    assert is_out_of_memory(opened.refusal)


def test_every_component_can_be_tried_out(bundle):
    for component in ("text_encoder", "unet", "vae_decoder"):
        inner = Capturing(bundle.file(f"{component}.onnx"))
        BoundSession(inner, None, parse_engine("cuda"), graphs=True, device="cpu").try_out()
        assert len(inner.graph_ids) == 2


def session_class(*, starts, refusal):
    """InferenceSession: of the tiny graph in memory, one whose provider starts or not; of a file, `refusal`."""

    def make(model, options, providers, enable_fallback):
        assert not enable_fallback, "ONNX Runtime's own fallback prints, and tries the CPU"
        if isinstance(model, str) and refusal is not None:
            raise refusal
        names = [name for name, _ in providers] if starts else []
        return SimpleNamespace(get_providers=lambda: [*names, "CPUExecutionProvider"])

    return make


@pytest.mark.parametrize(
    ("starts", "refusal", "kind", "said"),
    [
        # onnxruntime-gpu 1.31 where libcublasLt is missing goes on with the CPU, which lacks the fused operators.
        (False, RuntimeError("NOT_IMPLEMENTED : Could not find NhwcConv(1)"), EnvironmentFailure, "did not start"),
        (False, None, EnvironmentFailure, "did not start"),
        (
            True,
            RuntimeError("INVALID_GRAPH : Load model failed"),
            BundleError,
            "cannot load it .*export the bundle again",
        ),
        (True, RuntimeError("Failed to allocate memory for requested buffer"), EnvironmentFailure, "the GPU's memory"),
    ],
)
def test_what_keeps_a_session_from_opening_is_told_apart(starts, refusal, kind, said, monkeypatch, tmp_path):
    monkeypatch.setattr(onnxruntime, "InferenceSession", session_class(starts=starts, refusal=refusal))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    with pytest.raises(kind, match=said):
        open_onnxruntime(tmp_path / "unet.onnx", "cuda", [("CUDAExecutionProvider", {"device_id": "0"})])


def test_a_probe_of_one_identity_is_a_graph_onnx_runtime_opens():
    assert gpu._starts(("CPUExecutionProvider", {}))
    assert not gpu._starts(("NoSuchExecutionProvider", {}))


@pytest.mark.parametrize(
    ("variable", "names"),
    [
        (None, ["A", "B"]),
        ("", []),
        ("-1", []),
        ("1", ["B"]),
        ("1, 0", ["B", "A"]),
        ("0,7,1", ["A"]),
        ("GPU-8932f937", ["A", "B"]),
    ],
)
def test_gpus_are_those_the_process_may_use(variable, names):
    found = [devices.Gpu(name, (9, 0), "580") for name in "AB"]
    assert [gpu.name for gpu in devices.visible(found, variable)] == names
