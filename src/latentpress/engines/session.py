"""The Session protocol, what every engine opens, and torch behind it as the reference."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from latentpress.bundle.inputs import Array


class Session(Protocol):
    """One component: named arrays in, its named outputs out. The first axis of every array is the batch."""

    provider: str

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The component's outputs for `inputs`, by the names `bundle.info` gives them."""
        ...


class TorchSession:
    """A torch callable (tensors by name in, a map of tensors out) as a Session: what the engines are held to."""

    provider = "torch-cpu"

    def __init__(self, module: Callable[..., Mapping[str, Any]]) -> None:
        self._module = module

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        import torch

        with torch.inference_mode():
            outputs = self._module(**{name: torch.from_numpy(np.asarray(value)) for name, value in inputs.items()})
        return {name: output.numpy() for name, output in outputs.items()}
