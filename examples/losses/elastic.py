"""How far the picture is from itself, bent by a smooth random field: another one at each step, the same in every run."""

import torch
import torch.nn.functional as F


def loss(images, alpha: float = 0.1, cells: int = 4, *, generator):
    coarse = torch.randn(1, 2, cells, cells, generator=generator)
    bend = F.interpolate(coarse, images.shape[2:], mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    straight = F.affine_grid(torch.eye(2, 3)[None], list(images.shape), align_corners=False)
    bent = F.grid_sample(images, straight + alpha * bend, padding_mode="border", align_corners=False)
    return (bent - images).abs().mean()
