"""What a weight does to a text encoder's hidden states, dialect by dialect: arithmetic on arrays, no model."""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

States = NDArray[np.float32]

# compel's value; the lerp weight of a part weighed 0 would be infinite.
_LEAST = 1e-5


def a1111_states(states: States, weights: NDArray[np.float32]) -> States:
    """`states` (tokens, D) times `weights` (tokens,), brought back to the mean they had over all tokens and channels.

    A1111's default emphasis, "Original" (modules/sd_emphasis.py): the mean of one chunk, padding included.
    """
    if (weights == 1).all():
        return states
    weighted = states * weights[:, np.newaxis]
    mean = weighted.mean(dtype=np.float64)
    return weighted * np.float32(states.mean(dtype=np.float64) / mean) if mean else weighted


def compel_states(
    encode: Callable[[NDArray[np.bool_]], States],
    empty: States,
    weights: NDArray[np.float32],
    parts: NDArray[np.int64],
    lowered: Mapping[int, float],
) -> States:
    """compel's weighted hidden states of one chunk (compel/embeddings_provider.py, DownweightMode.MASK, its default).

    encode: the states (tokens, D) where the tokens marked True (tokens,) are hidden from the others; empty: those of "";
    weights, parts: (tokens,), the weight of each token and the index of its part; lowered: part -> weight, of every part
    of the prompt that weighs less than 1, in other chunks too.
    A token's state is moved away from the empty prompt's by its weight. For a part weighed w < 1 that is then blended
    with the same without the part, in the ratio 1 : tan((1 - w) * pi / 2).
    """

    def weighted(hidden: NDArray[np.bool_]) -> States:
        states = encode(hidden)
        moved = empty + (states - empty) * weights[:, np.newaxis]
        # States of weight 1 stay as they are, to the bit.
        return np.where(weights[:, np.newaxis] == 1, states, moved)

    nothing = np.zeros(len(parts), dtype=np.bool_)
    base = weighted(nothing)
    blended: list[tuple[States, float]] = [(base, 1.0)]
    for part, weight in lowered.items():
        hidden = parts == part
        without = weighted(hidden) if hidden.any() else base
        blended.append((without, math.tan((1 - max(_LEAST, weight)) * math.pi / 2)))
    if len(blended) == 1:
        return base
    total = sum(share for _, share in blended)
    mixed = np.zeros_like(base)
    for states, share in blended:
        mixed += states * np.float32(share / total)
    return mixed
