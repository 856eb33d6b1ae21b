"""The models that every checkpoint of the corpus holds."""

import functools
from typing import Any

from latentpress.testing.ldm_names import small_models


@functools.cache
def models_of(family: str) -> dict[str, Any]:
    """component -> the torch model whose weights every checkpoint of `family` in the corpus holds; not to be changed."""
    return small_models(family)
