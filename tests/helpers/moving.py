"""Engines whose rows move with their batch: wrong in the ways an engine may be."""

import numpy as np

# Below the bound of parity, above what rounds away in a picture.
SHARE = np.float32(1e-4)


class Moving:
    """`inner`, whose outputs a subclass moves; rows of its calls are noted."""

    def __init__(self, inner):
        self.inner, self.engine, self.note, self.rows = inner, inner.engine, inner.note, []

    def run(self, inputs):
        found = self.inner.run(inputs)
        self.rows.append(len(next(iter(found.values()))))
        return {name: self.move(array) for name, array in found.items()}


class Leaky(Moving):
    """A row takes from its batch mates."""

    def move(self, array):
        return array + SHARE * (array.sum(axis=0, keepdims=True) - array)


class Counting(Moving):
    """A row changes with the number of rows, and with nothing else."""

    def move(self, array):
        return array * (1 + SHARE * len(array))


class Fickle(Moving):
    """A row is never the same."""

    def move(self, array):
        return array + SHARE * np.float32(len(self.rows))


class Clean(Moving):
    """A row is the same."""

    def move(self, array):
        return array


class Tuned(Moving):
    """Rows are the same, in one session."""

    def __init__(self, inner, times):
        super().__init__(inner)
        self.times = times

    def move(self, array):
        return array * (1 + SHARE * self.times)
