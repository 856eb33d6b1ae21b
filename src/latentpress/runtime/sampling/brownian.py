"""A Brownian path per image, the same at any steps: the noise of DPM++ SDE, as torchsde's tree gives it to diffusers."""

import math

import numpy as np
from numpy.typing import DTypeLike, NDArray

from latentpress.runtime.sampling.generator import Generator

# Times are resolved to this many decimals (torchsde's tol=1e-6, which diffusers and k-diffusion set).
_DECIMALS = 6


class BrownianPath:
    """A path of independent Brownian motions, one an element of `shape`, between the times `low` < `high`.

    The same numbers as torchsde's `BrownianInterval(low, high, shape, entropy=seed, tol=1e-6, pool_size=24,
    halfway_tree=True)`, hence as diffusers' DPMSolverSDEScheduler(noise_sampler_seed=seed): a binary tree of halves, each
    with a generator of its own. Its value at a time depends on `seed` and the ends alone, not on what was asked before.
    dtype: of the draws; sums are float64.
    """

    def __init__(
        self, seed: int, shape: tuple[int, ...], low: float, high: float, dtype: DTypeLike = np.float32
    ) -> None:
        self._seed = seed
        self._shape = shape
        self._dtype = dtype
        self._low, self._high = round(low, _DECIMALS), round(high, _DECIMALS)
        self._whole = self._unit(()) * math.sqrt(high - low)
        # (depth, place in it) -> the increment over the left half of that node, for the nodes of the last time asked.
        self._near: dict[tuple[int, int], NDArray[np.float64]] = {}
        self._values: dict[float, NDArray[np.float64]] = {}

    def increment(self, start: float, end: float) -> NDArray[np.floating]:
        """What the path gains from `start` to another time `end`, which may be earlier, over sqrt(|end - start|)."""
        values = {time: self._at(time) if time not in self._values else self._values[time] for time in (start, end)}
        self._values = values  # the next call starts from one of these
        gain = values[end] - values[start]
        return (gain / math.sqrt(abs(end - start))).astype(self._dtype)

    def _at(self, time: float) -> NDArray[np.float64]:
        """The path at `time`, from 0 at the low end: down the tree, adding each left half that lies before `time`."""
        time = min(max(round(time, _DECIMALS), self._low), self._high)
        start, end, gain = self._low, self._high, self._whole
        value = np.zeros(self._shape)
        visited: dict[tuple[int, int], NDArray[np.float64]] = {}
        depth = place = 0
        while time not in (start, end):
            middle = round(0.5 * (end + start), _DECIMALS)
            left = self._near.get((depth, place))
            if left is None:
                # A Brownian bridge over the node, at its middle.
                before, after, share = middle - start, end - middle, 1 / (end - start)
                left = before * gain * share + math.sqrt(before * after * share) * self._unit((place, depth))
            visited[depth, place] = left
            depth, place = depth + 1, 2 * place
            if time <= middle:
                end, gain = middle, left
            else:
                start, gain, value, place = middle, gain - left, value + left, place + 1
        self._near = visited
        return value + gain if time == end else value

    def _unit(self, node: tuple[int, ...]) -> NDArray[np.float64]:
        """The unit normal draw of a tree's node, by numpy's seed tree and torch's generator, as in torchsde."""
        state = np.random.SeedSequence(self._seed, spawn_key=node, pool_size=24).generate_state(1)
        return Generator(int(state[0])).normal(self._shape, self._dtype).astype(np.float64)
