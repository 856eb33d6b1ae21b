"""The UNet alone, with each option of the CUDA provider switched: CUDA graphs, IO binding, layouts, convolution search."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gpu.results import append
from gpu.settings import Case, Place
from gpu.sides import bundle_folder
from latentpress.bench.figures import figure
from latentpress.bundle.info import Bundle, open_bundle
from latentpress.bundle.inputs import Array, example_inputs
from latentpress.engines.choice import parse_engine
from latentpress.engines.cuda import cuda_options
from latentpress.engines.engine import EngineChoice, Session, provider_of
from latentpress.engines.onnxruntime_gpu import BoundSession, open_onnxruntime, torch_stream

# What is switched, and the options it changes in what `latentpress` uses; "plain": inputs and outputs in numpy.
SWITCHES: dict[str, dict[str, str]] = {
    "as rendered": {},
    "without CUDA graphs": {"enable_cuda_graph": "0"},
    "without CUDA graphs and IO binding": {"enable_cuda_graph": "0"},
    "convolutions by heuristic": {"cudnn_conv_algo_search": "HEURISTIC"},
    "convolutions by default": {"cudnn_conv_algo_search": "DEFAULT"},
    "layouts chosen by the provider": {"prefer_nhwc": "1"},
    "arena doubling": {"arena_extend_strategy": "kNextPowerOfTwo"},
}
# Calls timed of each, or fewer where they take longer than SECONDS together.
CALLS, SECONDS = 20, 4.0


class NumpySession:
    """ONNX Runtime fed from numpy, which copies to the GPU and back itself."""

    note = ""

    def __init__(self, session: Any, engine: EngineChoice) -> None:
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]
        self.engine = engine

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        found = self._session.run(self._outputs, dict(inputs))
        return dict(zip(self._outputs, found, strict=True))


def switches(case: Case, where: Place, scratch: Path) -> None:
    """Milliseconds of a UNet call at the case's batches, for each of SWITCHES; a row each, a failure is one too."""
    bundle = open_bundle(bundle_folder(scratch, case, where.engine), verify=False)
    # One picture and many, by classifier-free guidance two rows each.
    sizes = sorted({2, 2 * case.batches[0]})
    first: dict[int, Array] = {}
    for name in SWITCHES:
        row: dict[str, Any] = {"kind": "switch", "case": case.name, "switch": name}
        try:
            started = time.perf_counter()
            session = open_switched(bundle, where, name)
            row["open_seconds"] = time.perf_counter() - started
            row["provider"] = provider_of(session)
            for rows in sizes:
                inputs = example_inputs(bundle.info, bundle.info.denoiser.name, rows, (case.side // 8, case.side // 8))
                found, timing = timed(session, inputs)
                first.setdefault(rows, found)
                worst = float(np.abs(found - first[rows]).max() / np.abs(first[rows]).max())
                append(scratch, {**row, "rows": rows, **timing, "relative_to_first": worst})
                print(f"{name}, {rows} rows: {timing['median']:.2f} ms", flush=True)
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            append(scratch, {**row, "rows": 0, "failed": reason})
            print(f"{name}: {reason}", flush=True)


def open_switched(bundle: Bundle, where: Place, name: str) -> Session:
    """The UNet with one switch turned."""
    graph = bundle.file("unet.onnx")
    if where.device == "cpu":  # a rehearsal: the same code on ordinary memory
        import onnxruntime

        plain = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
        if name.endswith("IO binding"):
            return NumpySession(plain, parse_engine("cpu"))
        return BoundSession(plain, None, parse_engine("cpu"), graphs=False, device="cpu")
    stream = torch_stream("cuda")
    options = cuda_options(stream.cuda_stream, bundle.info.precision, graphs=True) | SWITCHES[name]
    opened = open_onnxruntime(graph, "cuda", [("CUDAExecutionProvider", options)])
    if name.endswith("IO binding"):
        return NumpySession(opened, parse_engine("cuda"))
    return BoundSession(opened, stream, parse_engine("cuda"), graphs=options["enable_cuda_graph"] == "1")


def timed(session: Session, inputs: Mapping[str, Array]) -> tuple[Array, dict[str, Any]]:
    """The output of a call, and milliseconds of the first (allocation), the second (capture) and the later ones."""
    seconds: list[float] = []
    output: Array = np.zeros(0, dtype=np.float32)
    end = float("inf")
    while len(seconds) < CALLS + 2 and time.perf_counter() < end:
        started = time.perf_counter()
        output = np.array(session.run(inputs)["noise_pred"])
        seconds.append(time.perf_counter() - started)
        if len(seconds) == 3:
            end = time.perf_counter() + SECONDS
    later = asdict(figure([1000 * one for one in seconds[2:]]))
    return output, {"first_ms": seconds[0] * 1000, "second_ms": seconds[1] * 1000, **later}
