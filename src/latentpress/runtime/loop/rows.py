"""The conditioning rows of the UNet's calls, kept from one call to the next: a turn copies only the rows that changed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latentpress.runtime.prompts.conditioning import Conditioning


class ConditioningRows:
    """One array for each conditioning input, filled row by row.

    64 rows of SDXL are 40 MB, and most rows of a turn are those of the turn before.
    """

    def __init__(self) -> None:
        self._held: list[Conditioning | None] = []
        self._arrays: dict[str, NDArray[np.float32]] = {}

    def pack(self, rows: Sequence[Conditioning]) -> dict[str, NDArray[np.float32]]:
        """Each input's rows, (len(rows), ...); valid until the next call. `rows` is not empty, all of one shape."""
        shapes = {name: array.shape for name, array in rows[0].inputs().items()}
        # A prompt of more chunks has longer rows than those before.
        if len(rows) > len(self._held) or any(self._arrays[name].shape[1:] != shape for name, shape in shapes.items()):
            self._held = [None] * len(rows)
            self._arrays = {name: np.empty((len(rows), *shape), np.float32) for name, shape in shapes.items()}
        for place, row in enumerate(rows):
            if self._held[place] is not row:
                self._held[place] = row
                for name, array in row.inputs().items():
                    self._arrays[name][place] = array
        return {name: array[: len(rows)] for name, array in self._arrays.items()}
