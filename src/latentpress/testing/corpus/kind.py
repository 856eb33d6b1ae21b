"""What a kind of file people have is, in the corpus: how one is written, and what export makes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor

# (component, key, a weight of the models) -> the weight that the file holds in its place
Rounding = Callable[[str, str, Tensor], Tensor]


def exactly(component: str, key: str, weight: Tensor) -> Tensor:
    """The weight itself: the file holds all of it."""
    return weight


@dataclass(frozen=True)
class FileKind:
    """A kind of file, or of folder, that people give to an export.

    argument: what it is given as; build: writes one into an empty folder and returns the path to give; it belongs to the
    checkpoint `ldm_names.small_models(family)`. rounding: what a file in a coarser type makes of those weights; more:
    weights that it holds besides, by component and name. token: what a concept calls itself. base: of a lone UNet, writes
    the checkpoint that has its other parts (and another UNet) into the folder. refused: a part of the sentence that
    refuses it, None for a kind that is read.
    """

    argument: Literal["checkpoint", "vae", "lora", "concept"]
    build: Callable[[Path], Path]
    family: str = "sd1"
    rounding: Rounding = exactly
    more: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict[str, Mapping[str, Tensor]])
    refused: str | None = None
    token: str | None = None
    base: Callable[[Path], Path] | None = None
