"""A session that survives running out of memory: it halves the rows of a call and stays at what fitted.

Rows do not depend on one another, so a call may be cut anywhere. Where an engine makes them depend, `fixed` says how.
"""

from collections.abc import Mapping

import numpy as np

from latentpress.bundle.inputs import Array
from latentpress.engines.batching import BucketedSession
from latentpress.engines.engine import EngineChoice, Session
from latentpress.errors import EnvironmentFailure

# What ONNX Runtime, CUDA, cuBLAS, cuDNN, torch (on a CPU: "DefaultCPUAllocator: can't allocate memory") and the C++
# library say; they share no exception class.
_SIGNS = (
    *("out of memory", "failed to allocate", "bad allocation", "bad_alloc", "memory allocation", "alloc_failed"),
    *("t allocate memory", "not enough memory"),
)


class OutOfMemory(EnvironmentFailure):
    """Even one row does not fit into memory, or not the rows that --strict has fixed; the message says of what."""


class HalvingSession:
    """`session`, with at most `limit` rows a call: halved when a call fails for lack of memory, and left there.

    limit: None for no limit. fixed: pad every call to exactly this many rows; None to leave calls as they are.
    component: what the error names if even one row does not fit. inner: the session without either.
    """

    def __init__(self, session: Session, component: str) -> None:
        self.inner = session
        self.component = component
        self.limit: int | None = None
        self.fixed: int | None = None

    @property
    def engine(self) -> EngineChoice:
        return self.inner.engine

    @property
    def note(self) -> str:
        return self.inner.note

    def unlimited(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The session's outputs in one call, whatever `limit` is; raises what the engine raises."""
        return self.inner.run(inputs)

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The session's outputs. Raises OutOfMemory where a single row, or what is fixed, does not fit."""
        if self.fixed is not None:
            return self._run_fixed(self.fixed, inputs)
        rows = len(next(iter(inputs.values())))
        before = self.limit
        size = min(rows, self.limit or rows)
        parts: list[Mapping[str, Array]] = []
        start = 0
        while start < rows:
            part = {name: array[start : start + size] for name, array in inputs.items()}
            try:
                parts.append(self.inner.run(part))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    self.limit = before  # fewer rows are no help for these, and smaller ones may not need it
                    raise OutOfMemory(
                        f"{self.component}: one row does not fit into memory; render smaller pictures, or free memory"
                    ) from error
                self.limit = size = size // 2
                continue
            start += size
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run_fixed(self, size: int, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        try:
            return BucketedSession(self.inner, [size]).run(inputs)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(
                f"{self.component}: {size} rows do not fit into memory, and --strict may not take fewer halfway; "
                "render smaller pictures, give a smaller --batch-rows, or leave out --strict"
            ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an engine's exception says that memory ran out."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _SIGNS)
