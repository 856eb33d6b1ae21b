"""Colours, for the losses beside this file that import it."""

import torch


def cmyk(image):
    """(3, H, W) -> (4, H, W): cyan, magenta, yellow and black, each about 0 to 1."""
    black = 1 - image.max(0, keepdim=True).values
    inks = (1 - image - black) / (1 - black).clamp(min=1e-3)
    return torch.cat([inks, black])


def rainbow(height, width):
    """A picture (3, H, W) whose hue runs once around from left to right."""
    hue = torch.linspace(0, 1, width).expand(height, width)
    return torch.stack([(0.5 + 0.5 * torch.cos(6.2832 * (hue - shift))) for shift in (0, 1 / 3, 2 / 3)])
