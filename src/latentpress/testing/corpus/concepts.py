"""The kinds of textual-inversion files, as their trainers write them."""

from pathlib import Path

import torch
from torch import Tensor

from latentpress.testing.corpus.kind import FileKind

# Of the text encoder of Stable Diffusion 1 in `ldm_names.small_models`.
WIDTH = 64


def vectors(count: int = 2, width: int = WIDTH) -> Tensor:
    """(count, width) float32; the same each time."""
    return torch.randn(count, width, generator=torch.Generator().manual_seed(1)) * 0.1


def _library(folder: Path) -> Path:
    torch.save({"<line-art>": vectors(1)[0]}, folder / "learned_embeds.bin")
    return folder / "learned_embeds.bin"


CONCEPTS: dict[str, FileKind] = {
    "concept-library": FileKind("concept", _library),
}
