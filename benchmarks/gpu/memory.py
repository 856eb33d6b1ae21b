"""The GPU's memory in use, looked at while something runs: torch's own counters do not see ONNX Runtime's."""

import threading
from types import TracebackType

import torch

_SECONDS = 0.05


class PeakMemory:
    """While it lasts: the most bytes in use on the GPU beyond those in use before this process began; None without a GPU."""

    def __init__(self) -> None:
        self._before = used()
        self._most = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def take(self) -> int | None:
        """The most since the last `take`; starts counting again."""
        if self._before is None:
            return None
        most, self._most = max(self._most, used() or 0), 0
        return most - self._before

    def _watch(self) -> None:
        while self._before is not None and not self._stop.wait(_SECONDS):
            self._most = max(self._most, used() or 0)


def used() -> int | None:
    """Bytes in use on the GPU, by all processes."""
    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    return total - free
