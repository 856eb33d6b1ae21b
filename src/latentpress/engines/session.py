"""torch as a session: what the engines are held to."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from latentpress.bundle.inputs import Array
from latentpress.engines.engine import Engine, EngineChoice

TORCH = Engine("torch", stored="torch-cpu")


class TorchSession:
    """A torch callable (tensors by name in, a map of tensors out) as a Session: what the engines are held to."""

    engine = EngineChoice(TORCH)
    note = ""

    def __init__(self, module: Callable[..., Mapping[str, Any]]) -> None:
        self._module = module

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        import torch

        with torch.inference_mode():
            outputs = self._module(**{name: torch.from_numpy(np.asarray(value)) for name, value in inputs.items()})
        return {name: output.numpy() for name, output in outputs.items()}
