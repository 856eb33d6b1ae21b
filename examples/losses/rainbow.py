"""The distance to another picture: a rainbow, which begins to pull at `start_at` of the steps."""

import colours


def loss(image, start_at: float = 0.2, *, step, steps):
    weight = 1.0 if step >= start_at * steps else 0.1
    return weight * (image - colours.rainbow(*image.shape[1:])).square().mean()
