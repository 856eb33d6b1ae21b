"""The grid of losses, scales and samplers on the demo model, with the default step; the whole of it takes minutes."""

import numpy as np
import pytest

from latentpress.bundle.info import open_bundle
from latentpress.export.demo import ensure_demo_bundle
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.render import Renderer
from latentpress.runtime.sampling.samplers import BASES
from loss_grid import cells, grid

BUILT_IN = ("canny", "channel", "saturation", "contrast", "symmetry")
# Where the first move passes 5% of |x0|, about: 30 to 70 by the loss.
SCALES = (75, 200, 2_000, 20_000)
# These are for models that were distilled for a few steps. In 20 steps the noise ahead of LMS and PLMS is too coarse for
# their order: without a loss too they draw a mess (docs/samplers.md), so they have 50.
SAMPLERS = [name for name in BASES if name not in ("lcm", "tcd", "lms", "pndm")]


@pytest.fixture(scope="module")
def demo(demo_cache):
    return Renderer(open_bundle(ensure_demo_bundle(demo_cache)), batch_rows=16)


def right(found, loss=None):
    """The share of pictures whose loss fell, of those that were moved by 5% of |x0| or more."""
    falls = [one.change < 0 for cell, one in found.items() if loss in (None, cell.loss) and one.share >= 0.049]
    return float(np.mean(falls))


def sound(found):
    """No picture has ended as noise: neither its pixels at the ends, nor its roughness, nor its distance to the twin."""
    for cell, one in found.items():
        assert one.clipped < 0.35, (cell, one)
        assert one.rough < 2, (cell, one)
        assert one.distance < 0.8, (cell, one)


def test_contrast_and_symmetry_go_the_right_way_at_scales_that_did_the_opposite(demo):
    """At 2,000 both did in all of 28 pictures; UniPC is the sampler whose corrector took moves back."""
    found = grid(demo, cells(["contrast", "symmetry"], [2_000], ["unipc", "dpmpp_2m"], [5], [2]))
    assert all(one.change < -0.01 for one in found.values()), found
    assert max(one.share for one in found.values()) <= 0.3
    sound(found)


def test_raw_at_such_a_scale_is_told_to_be_too_far(demo):
    (one,) = grid(demo, cells(["symmetry"], [2_000], ["euler"], [5], [2]), steps=6, step="raw").values()
    assert one.share > 1


@pytest.mark.full
@pytest.mark.parametrize(("samplers", "steps"), [(SAMPLERS, 20), (["lms", "pndm"], 50)])
def test_from_five_percent_on_every_loss_goes_the_right_way(demo, samplers, steps):
    found = grid(demo, cells(BUILT_IN, SCALES, samplers, [1, 5], [1, 2, 3]), steps)
    assert right(found) >= 0.95
    for loss in BUILT_IN:
        assert right(found, loss) >= 0.9, loss
    sound(found)


@pytest.mark.full
def test_below_that_no_loss_gets_worse_by_a_hundredth(demo):
    found = grid(demo, cells(BUILT_IN, [1, 10], ["euler", "euler_a", "unipc", "dpmpp_2m", "ddim"], [1, 5], [1, 2]))
    assert max(one.change for one in found.values()) < 0.01


def test_the_grid_has_every_loss_that_was_there_when_it_was_measured():
    assert set(BUILT_IN) <= set(LOSSES)
