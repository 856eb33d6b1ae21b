"""What a text encoder is called with: chunks of tokens. Arrays, and nothing of how prompts are read."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Chunk:
    """One call of a text encoder: start, up to `limit` tokens, end, padding.

    ids (max_tokens,) int64; weights (max_tokens,) float32, 1 by default; parts (max_tokens,) int64, the index of the part
    of the prompt that each token belongs to, -1 for none.
    """

    ids: NDArray[np.int64]
    weights: NDArray[np.float32]
    parts: NDArray[np.int64]


@dataclass(frozen=True)
class Token:
    """One token of a prompt: its id and weight, its part's index, the concept it belongs to or ""."""

    id: int
    weight: float
    part: int
    concept: str
