"""Batches brought to a few fixed sizes, for engines that pay for each new shape: captures, tuning, profile switches."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import numpy as np

from latentpress.bundle.inputs import Array
from latentpress.engines.engine import EngineChoice, Session


def buckets_up_to(rows: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, ... and `rows` itself: at most a third of a full batch is padding."""
    sizes = {rows}
    power = 1
    while power < rows:
        sizes |= {size for size in (power, power * 3 // 2) if size < rows}
        power *= 2
    return sorted(sizes)


class BucketedSession:
    """Runs `session` on batches of `buckets` alone: smaller ones padded with their first row, larger ones cut up."""

    def __init__(self, session: Session, buckets: Sequence[int]) -> None:
        self._session = session
        self._buckets = sorted(buckets)

    @property
    def engine(self) -> EngineChoice:
        return self._session.engine

    @property
    def note(self) -> str:
        return self._session.note

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        rows = len(next(iter(inputs.values())))
        most = self._buckets[-1]
        parts = [
            self._one({name: array[start : start + most] for name, array in inputs.items()})
            for start in range(0, rows, most)
        ]
        return (
            parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        )

    def _one(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        rows = len(next(iter(inputs.values())))
        padding = self._buckets[bisect_left(self._buckets, rows)] - rows
        if not padding:
            return self._session.run(inputs)
        padded = {
            name: np.concatenate([array, np.repeat(array[:1], padding, axis=0)]) for name, array in inputs.items()
        }
        return {name: array[:rows] for name, array in self._session.run(padded).items()}
