"""The frequencies of a timestep's embedding, the same on every machine.

They are a table of exponentials that the exporter folds into the graph, with numpy's float32 exp, whose last bit depends on
the vector units of the CPU: two machines made two graphs of one checkpoint.
"""

import contextlib
import math
from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor


@contextlib.contextmanager
def exact_frequencies() -> Generator[None]:
    """Within, diffusers' `get_timestep_embedding` takes its frequencies from float64, rounded once."""
    from diffusers.models import embeddings

    module: Any = embeddings
    usual = module.get_timestep_embedding
    module.get_timestep_embedding = timestep_embedding
    try:
        yield
    finally:
        module.get_timestep_embedding = usual


def timestep_embedding(
    timesteps: Tensor,
    embedding_dim: int,
    flip_sin_to_cos: bool = False,
    downscale_freq_shift: float = 1,
    scale: float = 1,
    max_period: int = 10000,
) -> Tensor:
    """Sines and cosines of `timesteps` (n,) as (n, embedding_dim): `diffusers.models.embeddings.get_timestep_embedding`."""
    half = embedding_dim // 2
    powers = [math.exp(-math.log(max_period) * index / (half - downscale_freq_shift)) for index in range(half)]
    table = torch.tensor(powers, dtype=torch.float32, device=timesteps.device)
    angles = scale * (timesteps[:, None].float() * table[None, :])
    parts = [torch.cos(angles), torch.sin(angles)] if flip_sin_to_cos else [torch.sin(angles), torch.cos(angles)]
    found = torch.cat(parts, dim=-1)
    return torch.nn.functional.pad(found, (0, 1, 0, 0)) if embedding_dim % 2 else found
