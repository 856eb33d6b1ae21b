"""OpenVINO's CPU device, which reads the bundle's ONNX files as they are, in float32 or in bfloat16."""

from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from latentpress.bundle.info import Bundle, Precision
from latentpress.bundle.inputs import Array
from latentpress.engines.devices import Machine, cpu_has_bf16
from latentpress.engines.engine import BOUNDS, Engine, EngineChoice, Finding, Session
from latentpress.errors import BundleError, EnvironmentFailure

_NO_BF16 = (
    "engine openvino:bf16: this CPU has no bfloat16 units, which bf16 needs (avx512_bf16 or amx_bf16); "
    "use --engine openvino"
)


class OpenVinoSession:
    """An ONNX graph on OpenVINO: float32 unless bf16 is asked for, which is faster and differs by 2e-2 or so.

    On a CPU with bfloat16 units OpenVINO computes in it unless told otherwise, so the precision is always set. Rows come
    out the same bits whatever their batch mates in every case tried, in both precisions; `latentpress engines BUNDLE
    --engine openvino --rebuild` tests it again on the machine at hand.
    """

    note = ""

    def __init__(self, path: Path, *, precision: str = "f32", threads: int | None = None) -> None:
        """path: the graph's file; precision: f32 or bf16; threads: None for all cores."""
        core = openvino_core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise EnvironmentFailure(_NO_BF16)
        self.engine = EngineChoice(OPENVINO, None if precision == "f32" else precision)
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": precision,
            # ACCURACY keeps float32 where the hint would let a node go lower.
            "EXECUTION_MODE_HINT": "ACCURACY" if precision == "f32" else "PERFORMANCE",
            "PERFORMANCE_HINT": "LATENCY",
        }
        if threads is not None:
            config["INFERENCE_NUM_THREADS"] = threads
        try:
            model = core.read_model(str(path))
            # Named before compiling, after which an output has the names of what was merged into it as well.
            self._outputs = [port.get_any_name() for port in model.outputs]
            self._request = core.compile_model(model, "CPU", config).create_infer_request()
        except Exception as error:  # OpenVINO raises RuntimeError and classes of its own
            reason = " ".join(str(error).split())[:300]
            raise BundleError(f"{path}: OpenVINO cannot load it ({reason}); export the bundle again") from error

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        # Not shared: OpenVINO copies the outputs, whose buffers the next call fills.
        results = self._request.infer(dict(inputs), share_outputs=False)
        return {name: results[index] for index, name in enumerate(self._outputs)}


def openvino_core() -> Any:
    """OpenVINO's Core, one for the process; raises EnvironmentFailure where the package is missing."""
    try:
        import openvino
    except ImportError:
        raise EnvironmentFailure(_missing()) from None
    return _core(openvino.Core)


@cache
def _core(new: Callable[[], Any]) -> Any:
    """One Core that lasts.

    Its CPU plugin gives the thread that first uses it a stack for signals, and as it ends puts back the one that was there.
    Of two that do not end in the reverse order the last puts back one that the other has freed, and the next signal that
    Python handles, such as Ctrl-C, ends the process with SIGSEGV.
    """
    return new()


def _missing() -> str:
    return f"engine openvino: the package openvino is not installed; `{OPENVINO.install}` adds it"


def _lacking(precision: str | None) -> str:
    if find_spec("openvino") is None:
        return _missing()
    return _NO_BF16 if precision == "bf16" and not cpu_has_bf16() else ""


def _open(bundle: Bundle, component: str, choice: EngineChoice, threads: int | None) -> Session:
    return _graph(bundle.file(f"{component}.onnx"), choice, threads)


def _graph(path: Path, choice: EngineChoice, threads: int | None) -> Session:
    return OpenVinoSession(path, precision=choice.precision or "f32", threads=threads)


def _bound(own: Precision, bundle: Precision, asked: str | None) -> float:
    return BOUNDS["bf16" if asked == "bf16" else own]


def _findings(machine: Machine) -> list[Finding]:
    version = machine.packages.get("openvino")
    ready = version is not None
    missing, install = "OpenVINO is not installed", None if ready else OPENVINO.install
    plain = Finding("openvino", ready, f"OpenVINO {version} on the CPU, float32" if ready else missing, install)
    if not machine.bf16:
        why = "this CPU has no bfloat16 units (avx512_bf16 or amx_bf16)"
        return [plain, Finding("openvino:bf16", False, why)]
    return [plain, Finding("openvino:bf16", ready, "bfloat16 units in the CPU" if ready else missing, install)]


OPENVINO = Engine(
    "openvino",
    open=_open,
    graph=_graph,
    precisions=("f32", "bf16"),
    bound=_bound,
    packages=("openvino",),
    install="pip install 'latentpress[openvino]'",
    findings=_findings,
    lacking=_lacking,
)
