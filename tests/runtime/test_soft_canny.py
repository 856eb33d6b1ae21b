"""What docs/losses.md says that soft_canny does to pictures of the built-in model, by OpenCV's own Canny."""

import cv2
import numpy as np
import pytest

import latentpress

# Fresh when the loss was made: it was developed on other prompts and seeds.
CASES = [(prompt, seed) for prompt in ("an owl", "a red kite over a hill") for seed in range(9001, 9009)]


def edges_and_light(loss):
    """Of each picture the share of edge pixels, and the mean luma."""
    jobs = [{"prompt": prompt, "seed": seed, "steps": 20, "sampler": "euler", "loss": loss} for prompt, seed in CASES]
    found = [np.asarray(picture) for picture in latentpress.render_pictures("demo", jobs)]
    edges = [(cv2.Canny(np.ascontiguousarray(one), 100, 200) > 0).mean() for one in found]
    return np.array(edges), np.array([(one / 255 @ [0.299, 0.587, 0.114]).mean() for one in found])


@pytest.mark.full
def test_soft_canny_draws_edges_and_keeps_the_light(demo_cache, monkeypatch):
    monkeypatch.setenv("LATENTPRESS_CACHE", str(demo_cache))
    (before, light), (after, lit) = edges_and_light("none"), edges_and_light({"name": "soft_canny", "scale": 200})
    assert (np.abs(lit / light - 1) <= 0.1).all()
    assert (after > before).sum() >= 15
    assert after.mean() > 1.05 * before.mean()
