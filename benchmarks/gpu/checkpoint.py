"""A case's checkpoint in the diffusers folder layout: the published configuration, random weights from a fixed seed."""

from pathlib import Path

import torch

from gpu.settings import Case
from latentpress.testing.full_size_checkpoint import build_full_size
from latentpress.testing.random_checkpoint import build_checkpoint

_DONE = "complete"


def make_checkpoint(case: Case, folder: Path, *, full_size: bool) -> Path:
    """The checkpoint in `folder`, made there first unless it is whole already: at full size in float16, 7 GB for SDXL."""
    if (folder / _DONE).exists():
        return folder
    if full_size:
        build_full_size(folder, case.family, dtype=torch.float16)
    else:
        build_checkpoint(folder, family=case.family, size=case.side)
    (folder / _DONE).touch()
    return folder
