"""A LoRA's product has the same bits in any order of summation, and is as near to the true one as float32 can be."""

import numpy as np
import pytest
import torch

from latentpress.export.exact_product import product
from latentpress.export.lora_methods import METHODS, fused


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32))


@pytest.mark.parametrize("rank", [1, 4, 128, 300])
def test_the_order_of_the_terms_is_nothing_to_it(rank):
    up, down = normal(96, rank), normal(rank, 150)
    up[:, 0] *= 1e-6
    down[:, 3] = 0
    found = product(up, down)
    for seed in range(4):
        order = torch.from_numpy(np.random.default_rng(seed).permutation(rank))
        again = product(up[:, order], down[order])
        if rank <= 128:  # all in one exact sum
            assert torch.equal(again, found)
    exact = up.double() @ down.double()
    # Half a unit in the last place, and what is left out of the pieces.
    assert (found.double() - exact).abs().le(exact.abs() * 2.0**-24 + 1e-12).all()
    assert torch.equal(product(up[:7], down[:, :9]), found[:7, :9])


def test_a_plain_product_would_not_do():
    """What makes the test above one: float32's own sums move with the order."""
    up, down = normal(96, 128), normal(128, 150)
    order = torch.from_numpy(np.random.default_rng(0).permutation(128))
    assert not torch.equal(up[:, order] @ down[order], up @ down)


def test_a_fused_layer_does_not_depend_on_the_order_either():
    """LoRA on a linear layer and a convolution, with a core (LoCon) and without."""
    order = torch.from_numpy(np.random.default_rng(0).permutation(64))
    up, down = normal(40, 64, 1, 1), normal(64, 24, 3, 3)
    weight = normal(40, 24, 3, 3, seed=1)
    found = fused(METHODS["lora"], {"up": up, "down": down}, weight, 0.8, 0.5)
    again = fused(METHODS["lora"], {"up": up[:, order], "down": down[order]}, weight, 0.8, 0.5)
    assert torch.equal(again, found)
    mid, side = normal(64, 64, 3, 3, seed=2), normal(64, 24, 1, 1, seed=3)
    found = fused(METHODS["lora"], {"up": up, "down": side, "mid": mid}, weight, 0.8, 0.5)
    again = fused(
        METHODS["lora"], {"up": up[:, order], "down": side[order], "mid": mid[order][:, order]}, weight, 0.8, 0.5
    )
    assert torch.equal(again, found)
    expected = weight.double() + 0.4 * torch.einsum(
        "oa,abhw,bi->oihw", *(each.double() for each in (up.flatten(1), mid, side.flatten(1)))
    )
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-5)
