"""One picture's failure is that picture's: what an engine or a loss raises, beside pictures that come out as they were."""

import hashlib

import numpy as np
import pytest

from latentpress.engines.cpu import OnnxCpuSession
from latentpress.errors import EnvironmentFailure
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.loss import Loss, LossParams
from latentpress.runtime.loop.overseer import NoOverseer
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import LossSpec, RenderRequest


class Failing:
    """A session that raises what `fault` gives for its inputs, if it gives anything."""

    def __init__(self, bundle, component, fault):
        self.session = OnnxCpuSession(bundle.file(f"{component}.onnx"))
        self.engine, self.note, self.fault = self.session.engine, self.session.note, fault

    def run(self, inputs):
        if (error := self.fault(inputs)) is not None:
            raise error
        return self.session.run(inputs)


def request(seed, steps=2, size=16, guidance_scale=5.0, **more):
    return RenderRequest("a mouse", seed, size, size, "euler", steps, guidance_scale, **more)


WORK = {seed: request(seed) for seed in range(6)}


def rendered(bundle, work=WORK, batch_rows=12, **options):
    found = {one.key: one for one in Renderer(bundle, batch_rows=batch_rows, **options).render(work.items())}
    assert found.keys() == set(work)
    return found


def pixels(found):
    return {key: hashlib.sha256(one.image.tobytes()).hexdigest() for key, one in found.items() if one.image is not None}


@pytest.fixture(scope="module")
def expected(bundle):
    return pixels(rendered(bundle))


def row_of(bundle, seed, component="unet"):
    """The first input that `component` has for the picture of one seed."""
    seen = []
    session = Failing(bundle, component, lambda inputs: seen.append(next(iter(inputs.values()))[0].copy()))
    list(Renderer(bundle, batch_rows=2, sessions={component: session}).render([(seed, WORK[seed])]))
    return seen[0]


@pytest.mark.parametrize("component", ["unet", "vae_decoder"])
@pytest.mark.parametrize("beside", [False, True])
def test_a_call_that_raises_is_taken_apart_until_the_picture_is_found(bundle, expected, component, beside):
    poison = row_of(bundle, 3, component)

    def fault(inputs):
        rows = next(iter(inputs.values()))
        return ValueError("poison") if any(np.array_equal(row, poison) for row in rows) else None

    found = rendered(bundle, sessions={component: Failing(bundle, component, fault)}, decode_beside=beside)
    assert found[3].cause == "exception"
    assert "raised ValueError: poison" in found[3].error
    assert pixels(found) == {key: digest for key, digest in expected.items() if key != 3}


@pytest.mark.parametrize("component", ["unet", "vae_decoder"])
def test_a_size_that_does_not_fit_fails_alone_and_by_its_size(bundle, expected, component):
    work = {**WORK, "large": request(9, size=32), "also": request(10, size=32)}

    def fault(inputs):
        large = next(iter(inputs.values())).shape[-1] == 4
        return RuntimeError("Failed to allocate memory for requested buffer of size 137438953472") if large else None

    found = rendered(bundle, work, sessions={component: Failing(bundle, component, fault)})
    for key in ("large", "also"):
        assert found[key].cause == "memory"
        assert found[key].error.startswith("32x32 needs more memory than there is")
    assert pixels(found) == expected
    assert found[5].origin.batch_rows == 12, "the others keep their rows"


def test_torch_out_of_memory_under_a_loss_fails_that_picture(bundle, expected):
    import torch

    def allocate(image):
        return image.mean(dim=(1, 2, 3)) * torch.empty(2**58).mean()

    hungry = Loss("hungry", LossParams, allocate, "this test")
    loss = LossSpec("hungry", 1.0, every=1)
    work = {**WORK, "loss": request(9, losses=(loss,))}
    found = rendered(bundle, work, losses={**LOSSES, "hungry": hungry})
    assert found["loss"].cause == "memory"
    assert found["loss"].error.startswith("16x16 needs more memory than there is (the gradient of the loss hungry)")
    assert pixels(found) == expected


def test_what_the_machine_lacks_is_raised(bundle):
    missing = Failing(bundle, "unet", lambda inputs: EnvironmentFailure("the GPU is gone"))
    with pytest.raises(EnvironmentFailure, match="the GPU is gone"):
        rendered(bundle, sessions={"unet": missing})


def test_an_overseer_knows_what_is_in_hand_and_says_when_to_begin_no_more(bundle):
    class Stopping(NoOverseer):
        def __init__(self):
            self.heard, self.begun = [], 0

        def begins(self, what, keys):
            self.heard.append((what, tuple(keys)))

        def going(self):
            self.begun += 1
            return self.begun <= 4

    overseer = Stopping()
    found = list(Renderer(bundle, batch_rows=4).render(WORK.items(), overseer=overseer))
    assert sorted(one.key for one in found) == [0, 1, 2, 3]
    assert all(one.image is not None for one in found), "what was begun is finished"
    calls = [keys for what, keys in overseer.heard if what == "the UNet"]
    assert calls == [(0, 1), (0, 1), (2, 3), (2, 3)]
    assert ("the VAE decoder", (2, 3)) in overseer.heard
