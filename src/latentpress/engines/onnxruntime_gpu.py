"""An ONNX Runtime session on an NVIDIA GPU, its inputs and outputs bound to torch's memory on a stream of torch's.

Buffers are made once for each combination of input shapes and kept, at addresses that do not change: that is what a CUDA
graph needs, and it spares an allocation a call. Callers keep the shapes few (batching.py).
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from latentpress.bundle.info import Precision
from latentpress.bundle.inputs import Array
from latentpress.engines.engine import BOUNDS, EngineChoice
from latentpress.engines.memory import is_out_of_memory
from latentpress.errors import BundleError, EnvironmentFailure

# ONNX Runtime's run option that names a CUDA graph; "-1" runs without capturing one.
GRAPH_ID = "gpu_graph_id"
NO_GRAPH = "-1"
# Graphs kept: the one of `try_out`, and one for each of twelve buckets (batching.py). Shapes beyond these run without.
MAX_GRAPHS = 13
# Latents a side of `try_out`: what three halvings leave is one.
_TRIED_SIDE = 8


@dataclass(eq=False)
class Bound:
    """The fixed buffers of one combination of shapes, and the number of its CUDA graph."""

    binding: Any
    inputs: dict[str, Any]
    outputs: dict[str, Any] = field(default_factory=dict[str, Any])
    graph_id: str = NO_GRAPH


class BoundSession:
    """`session` of ONNX Runtime, run with IO binding on `stream` (a torch.cuda.Stream); `graphs`: capture CUDA graphs.

    engine: whose session it is; device: where torch's buffers are; "cpu", with no stream, binds to ordinary memory, which
    is how this is tested.
    """

    def __init__(self, session: Any, stream: Any, engine: EngineChoice, *, graphs: bool, device: str = "cuda") -> None:
        self.engine = engine
        self.note = "graphs" if graphs else ""
        self._session = session
        self._stream = stream
        self._device = device
        self._graphs = graphs
        self._bound: dict[tuple[tuple[int, ...], ...], Bound] = {}
        self._inputs = [(given.name, numpy_type(given.type)) for given in session.get_inputs()]
        self._shapes = {given.name: tuple(given.shape) for given in session.get_inputs()}
        self._outputs = [made.name for made in session.get_outputs()]

    def try_out(self) -> None:
        """Run one small row of zeros twice, the second time captured: a kernel that capture forbids shows here.

        Raises what ONNX Runtime raises; the session and its stream are then of no more use.
        """
        inputs: dict[str, Array] = {}
        for name, dtype in self._inputs:
            free = (1, *[_TRIED_SIDE] * (len(self._shapes[name]) - 1))
            fixed = [axis if isinstance(axis, int) else free[index] for index, axis in enumerate(self._shapes[name])]
            inputs[name] = np.zeros(fixed, dtype=dtype)
        for _ in range(2):
            self.run(inputs)

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        import torch

        arrays = {name: np.ascontiguousarray(inputs[name], dtype=dtype) for name, dtype in self._inputs}
        shapes = tuple(array.shape for array in arrays.values())
        with torch.cuda.stream(self._stream) if self._stream is not None else contextlib.nullcontext():
            bound = self._bound.get(shapes) or self._bind(shapes, arrays)
            for name, array in arrays.items():
                bound.inputs[name].copy_(torch.from_numpy(array), non_blocking=True)
            self._run(bound)
            if bound.outputs:
                # The copy waits for the stream it is made on, so for the run before it.
                return {name: tensor.to("cpu", copy=True).numpy() for name, tensor in bound.outputs.items()}
            return self._first_outputs(bound)

    def _bind(self, shapes: tuple[tuple[int, ...], ...], arrays: Mapping[str, Array]) -> Bound:
        import torch

        binding = self._session.io_binding()
        tensors: dict[str, Any] = {}
        for name, array in arrays.items():
            tensor = tensors[name] = torch.from_numpy(array).to(self._device, copy=True)
            binding.bind_input(name, self._device, 0, array.dtype.type, tuple(array.shape), tensor.data_ptr())
        bound = self._bound[shapes] = Bound(binding, tensors)
        for name in self._outputs:
            binding.bind_output(name, self._device, 0)  # the first run allocates, and so says what the shapes are
        return bound

    def _first_outputs(self, bound: Bound) -> dict[str, Array]:
        """The outputs of a first run, which ONNX Runtime allocated; later ones go to buffers of ours."""
        import torch

        copies = [np.array(array) for array in bound.binding.copy_outputs_to_cpu()]
        first = dict(zip(self._outputs, copies, strict=True))
        bound.binding.clear_binding_outputs()
        for name, array in first.items():
            tensor = bound.outputs[name] = torch.empty(
                array.shape, dtype=torch.from_numpy(array).dtype, device=self._device
            )
            bound.binding.bind_output(name, self._device, 0, array.dtype.type, tuple(array.shape), tensor.data_ptr())
        if self._graphs and len(self._bound) <= MAX_GRAPHS:
            bound.graph_id = str(len(self._bound))
        return first

    def _run(self, bound: Bound) -> None:
        import onnxruntime

        options = onnxruntime.RunOptions()
        if self._graphs:
            options.add_run_config_entry(GRAPH_ID, bound.graph_id)
        self._session.run_with_iobinding(bound.binding, options)


def numpy_type(onnx_type: str) -> Any:
    """The NumPy type of ONNX Runtime's `tensor(...)`: a bundle's graphs take int64 and float32 alone."""
    return {"tensor(int64)": np.int64, "tensor(float)": np.float32}[onnx_type]


def tf32_bound(own: Precision, bundle: Precision, asked: str | None) -> float:
    """The bound of an engine that computes float32 graphs in TF32, but for those of bundles that are float32 altogether.

    TF32's 10 bits of mantissa are float16's.
    """
    return BOUNDS["fp16" if own == "fp32" and bundle != "fp32" else own]


def torch_stream(engine: str) -> Any:
    """A CUDA stream of torch's; raises EnvironmentFailure where torch has no GPU."""
    import torch

    if not torch.cuda.is_available():
        built = (
            f"torch {torch.__version__} is a build without CUDA" if torch.version.cuda is None else "torch sees no GPU"
        )
        raise EnvironmentFailure(
            f"engine {engine}: {built}, and the engine's buffers are torch's; install a CUDA build of torch on a machine "
            "with an NVIDIA GPU, or use --engine cpu"
        )
    return torch.cuda.Stream()


def open_onnxruntime(path: Path, engine: str, providers: Sequence[tuple[str, Mapping[str, str]]]) -> Any:
    """ONNX Runtime's session of the graph at `path` on the first of `providers`: (name, options).

    Raises EnvironmentFailure if that provider is missing or did not start, for ONNX Runtime would go on without it, or if
    memory ran out; BundleError for a graph that it refuses.
    """
    try:
        import onnxruntime
    except ImportError:
        raise EnvironmentFailure(_missing(engine)) from None
    wanted = providers[0][0]
    if wanted not in onnxruntime.get_available_providers():
        raise EnvironmentFailure(
            f"engine {engine}: the installed ONNX Runtime has no {wanted}; `pip uninstall onnxruntime`, then "
            "`pip install 'latentpress[gpu]'`: the two packages overwrite each other"
        )
    onnxruntime.preload_dlls()  # CUDA and cuDNN, from the packages that torch brought
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(path),
            options,
            providers=[(name, dict(settings)) for name, settings in providers],
            enable_fallback=0,  # it would print, and try the graph on the CPU
        )
    except Exception as error:  # ONNX Runtime raises classes of its own that share no base but Exception
        reason = " ".join(str(error).split())[:300]
        if is_out_of_memory(error):
            raise EnvironmentFailure(
                f"engine {engine}: {path} does not fit into the GPU's memory ({reason}); free memory, or use another GPU"
            ) from error
        # Where the provider is missing, what fails is the first operator that the CPU lacks.
        if not _starts(providers[0]):
            raise _not_started(engine, wanted) from error
        raise BundleError(f"{path}: {wanted} cannot load it ({reason}); export the bundle again") from error
    if session.get_providers()[0] != wanted:
        raise _not_started(engine, wanted)
    return session


def lacking(engine: str) -> str:
    """What this machine lacks of ONNX Runtime for `engine`, "" for nothing; does not import it."""
    return _missing(engine) if find_spec("onnxruntime") is None else ""


def _missing(engine: str) -> str:
    return f"engine {engine}: onnxruntime-gpu is not installed; `pip install 'latentpress[gpu]'` adds it"


def _starts(provider: tuple[str, Mapping[str, str]]) -> bool:
    """Whether ONNX Runtime opens a session of one Identity on the provider (name, options)."""
    import onnxruntime
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", [x], [y])
    # The opset and the format of the oldest ONNX Runtime that is supported.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    name, settings = provider
    try:
        session = onnxruntime.InferenceSession(model, options, providers=[(name, dict(settings))], enable_fallback=0)
    except Exception:
        return False
    return session.get_providers()[0] == name


def _not_started(engine: str, provider: str) -> EnvironmentFailure:
    return EnvironmentFailure(
        f"engine {engine}: {provider} did not start, mostly because a CUDA, cuDNN or TensorRT library is missing or of "
        "another version; `latentpress doctor` says what is installed"
    )
