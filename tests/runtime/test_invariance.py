"""An image depends on its job alone: the same pixel sha256 alone, in company, in another order, in other buckets."""

import hashlib
import random

import pytest

from latentpress.runtime.render import Renderer
from latentpress.runtime.request import LossSpec, RenderRequest
from latentpress.runtime.samplers import BASES

# Each once: one call a step and two, every kind of history, none, draws and a Brownian path.
SAMPLERS = [*BASES, "lms_karras", "dpmpp_sde_karras", "kdpm2_a_trailing"]


def jobs():
    losses = [
        (),
        (LossSpec("channel", 100.0, 3, params={"channel": "red", "target": 0.8}),),
        (LossSpec("canny", 200.0, 5, params={"low": 100, "high": 200}), LossSpec("contrast", 20.0, 4)),
    ]
    made = {}
    for index in range(len(SAMPLERS)):
        size = (64, 64) if index % 5 else (64, 96)
        made[index] = RenderRequest(
            prompt=["a mouse in the style of <moeb-style>", "a red house", ""][index % 3],
            seed=100 + index,
            height=size[0],
            width=size[1],
            sampler=SAMPLERS[index],
            steps=4 + index % 7,
            guidance_scale=[1.0, 5.0, 8.0][(index // 2) % 3],
            losses=losses[index % 3],
        )
    return made


def digests(renderer, requests):
    return {
        rendered.key: hashlib.sha256(rendered.image.tobytes()).hexdigest() for rendered in renderer.render(requests)
    }


@pytest.fixture(scope="module")
def alone(renderer):
    found = {}
    for key, request in jobs().items():
        found |= digests(renderer, [(key, request)])
    return found


@pytest.mark.parametrize("batch_rows", [2, 3, 8, 16])
@pytest.mark.parametrize("order", [1, 2])
def test_pixels_do_not_depend_on_company(batch_rows, order, alone, bundle):
    work = list(jobs().items())
    random.Random(order).shuffle(work)
    assert digests(Renderer(bundle, batch_rows=batch_rows), work) == alone


def test_pixels_do_not_depend_on_threads(alone, bundle):
    assert digests(Renderer(bundle, threads=2), jobs().items()) == alone


def test_every_request_changes_the_picture(alone):
    assert len(set(alone.values())) == len(alone)
