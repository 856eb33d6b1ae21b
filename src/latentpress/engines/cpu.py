"""ONNX Runtime's CPU provider: everywhere, exact, the default."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from latentpress.bundle.info import Bundle
from latentpress.bundle.inputs import Array
from latentpress.engines.devices import Machine
from latentpress.engines.engine import Engine, EngineChoice, Finding, Refusal, Session
from latentpress.errors import BundleError, EnvironmentFailure

_MISSING = "onnxruntime is not installed; `pip install latentpress[cpu]` (or [gpu]) adds it"


class OnnxCpuSession:
    """An ONNX graph on ONNX Runtime's CPU provider; rows come out bit for bit the same whatever their batch mates."""

    note = ""

    def __init__(self, path: Path | bytes, threads: int | None = None, *, arena: bool = True) -> None:
        """path: the graph's file, or a graph without external data as bytes; threads: None for all cores.

        arena: keep memory for the next call; without it calls of many shapes need no more than the largest of them does.
        """
        self.engine = EngineChoice(CPU)
        try:
            import onnxruntime
        except ImportError:
            raise EnvironmentFailure(_MISSING) from None
        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        options.log_severity_level = 4  # what it prints of errors, in colours, it raises too
        # Without it the threads of a session go on spinning for some 50 ms after each call, on cores that the next call,
        # of another session or of torch, wants: measured, a third of the time (docs/performance.md).
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.enable_cpu_mem_arena = arena
        try:
            model = path if isinstance(path, bytes) else str(path)
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises classes of its own that share no base but Exception
            name = "a graph in memory" if isinstance(path, bytes) else path
            raise BundleError(f"{name}: ONNX Runtime cannot load it ({error}); export the bundle again") from error
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        found = self._session.run(self._outputs, dict(inputs))
        return {name: np.asarray(array) for name, array in zip(self._outputs, found, strict=True)}


def _open(bundle: Bundle, component: str, choice: EngineChoice, threads: int | None) -> Session:
    return OnnxCpuSession(bundle.file(f"{component}.onnx"), threads)


def _graph(path: Path, choice: EngineChoice, threads: int | None) -> Session:
    return OnnxCpuSession(path, threads)


def _lacking(precision: str | None) -> str:
    return _MISSING if find_spec("onnxruntime") is None else ""


def _findings(machine: Machine) -> list[Finding]:
    if machine.providers:
        return [Finding("cpu", True, "ONNX Runtime's CPU provider")]
    return [Finding("cpu", False, "ONNX Runtime is not installed", CPU.install)]


CPU = Engine(
    "cpu",
    stored="onnxruntime-cpu",
    open=_open,
    graph=_graph,
    flavours=("mha", "plain", "attention"),
    refusals=(
        Refusal(
            "bf16",
            "ONNX Runtime's CPU provider has no bfloat16 kernels",
            "--engine openvino, or --precision fp32",
        ),
    ),
    packages=("onnxruntime", "onnxruntime-gpu"),
    install="pip install 'latentpress[cpu]'",
    findings=_findings,
    lacking=_lacking,
)
