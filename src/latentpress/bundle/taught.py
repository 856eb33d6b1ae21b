"""Concepts that a bundle would have: known from their files, and baked into none of the bundle's. Knows no file itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Taught:
    """ids: the tokens that a tokenizer would have more -> their ids; vectors: ENCODER.TOKEN -> (n, D) float32.

    on: the bundle that would have them, whose files may last no longer than it does.
    """

    ids: Mapping[str, int]
    vectors: Mapping[str, NDArray[np.float32]]
    on: object = None


def added_token(token: str) -> dict[str, Any]:
    """What CLIPTokenizer's configuration says of a concept's token.

    normalized=False keeps capitals; a token in angle brackets may touch other letters, a plain word must stand alone,
    or a concept `cat` would cut `concatenate`.
    """
    return {
        "content": token,
        "lstrip": False,
        "normalized": False,
        "rstrip": False,
        "single_word": not token.startswith("<"),
        "special": False,
    }
