"""A picture's steps go on being counted where a refiner takes over, inside a two-call sampler's step too."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline
from diffusers.utils import load_image
from PIL import Image

from compare import psnr
from families import picture_file
from latentpress.runtime.loop.modes import begin, hand_over
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import LossSpec, Refiner, RenderRequest
from latentpress.runtime.rules import Scene, rules_of
from latentpress.runtime.sampling.samplers import BASES
from latentpress.runtime.sampling.solvers import switch_call

PROMPT, NEGATIVE, SCALE = "a red mouse in the night", "blurry blue", 6.0
# dB. Measured 64 (a Brownian path at float32 times) and 80 and more; 38 to 56 where the last step had no guidance.
BOUND = 60


@pytest.fixture(scope="module")
def sdxl(exported):
    return Renderer(exported("sdxl").bundle, refiners=[exported("refiner").bundle])


@pytest.fixture(scope="module")
def scene(exported):
    refiner = exported("refiner").bundle
    return Scene(exported("sdxl").bundle.info, {refiner.hash: refiner.info})


@pytest.fixture(scope="module")
def request_for(exported):
    digest = exported("refiner").bundle.hash

    def make(sampler, steps, switch_at, **changes):
        given = {"negative_prompt": NEGATIVE, "guidance_scale": SCALE, "seed": 5, "height": 64, "width": 64}
        return RenderRequest(
            PROMPT, **{**given, **changes}, sampler=sampler, steps=steps, refiner=Refiner(digest, switch_at)
        )

    return make


def rendered(renderer, asked):
    rows = []
    (found,) = renderer.render([("only", asked)], on_turn=rows.append)
    assert found.error is None
    return found.image, rows


# Cuts inside a step and between two. diffusers' own SDE takes one generator per pipeline, hence no path here.
TWO_CALLS = [
    *(("heun", steps, switch_at) for steps, switch_at in ((3, 0.7), (8, 0.5), (8, 0.8))),
    *(("kdpm2", 3, switch_at) for switch_at in (0.5, 0.7)),
    ("heun_karras", 4, 0.4),
    ("kdpm2_karras", 5, 0.6),
    ("kdpm2_a", 4, 0.7),
    ("kdpm2_a_karras", 6, 0.8),
    ("dpmpp_sde", 3, 0.7),
    ("dpmpp_sde_karras", 5, 0.8),
]


@pytest.mark.parametrize(("sampler", "steps", "switch_at"), TWO_CALLS)
def test_a_switch_anywhere_is_the_ensemble_of_experts(sampler, steps, switch_at, exported, sdxl, request_for):
    generator = torch.Generator().manual_seed(5)
    options = {"negative_prompt": NEGATIVE, "generator": generator, "guidance_scale": SCALE}
    options["num_inference_steps"] = steps
    base = exported("sdxl").pipeline(StableDiffusionXLPipeline, sampler, 5)
    latents = base(PROMPT, height=64, width=64, denoising_end=switch_at, output_type="latent", **options).images
    second = exported("refiner").pipeline(StableDiffusionXLImg2ImgPipeline, sampler, 5)
    expected = np.asarray(second(PROMPT, image=latents, denoising_start=switch_at, **options).images[0])
    found, rows = rendered(sdxl, request_for(sampler, steps, switch_at))
    assert set(rows) == {2}, "guidance acts in every call"
    assert psnr(found, expected) >= BOUND


@pytest.mark.parametrize("sampler", ["heun", "kdpm2_a"])
def test_a_given_picture_is_refined_as_by_the_ensemble(sampler, exported, sdxl, request_for, tmp_path):
    picture = picture_file(tmp_path)
    image = load_image(str(picture.path)).resize((64, 64), Image.Resampling.LANCZOS)
    generator = torch.Generator().manual_seed(5)
    options = {"negative_prompt": NEGATIVE, "generator": generator, "guidance_scale": SCALE, "num_inference_steps": 5}
    base = exported("sdxl").pipeline(StableDiffusionXLImg2ImgPipeline, sampler)
    latents = base(PROMPT, image=image, strength=0.8, denoising_end=0.5, output_type="latent", **options).images
    second = exported("refiner").pipeline(StableDiffusionXLImg2ImgPipeline, sampler)
    expected = np.asarray(second(PROMPT, image=latents, denoising_start=0.5, **options).images[0])
    found, rows = rendered(sdxl, request_for(sampler, 5, 0.5, init_image=picture, strength=0.8))
    assert set(rows) == {2}
    assert psnr(found, expected) >= BOUND


def calls(sdxl, asked):
    """(number, begins a step for a loss, guided) of every call, and the number of steps."""
    found = []
    model, refiner = sdxl._model, next(iter(sdxl._refiners.values()))
    one = begin(model, "only", asked)
    while True:
        for step in range(len(one.solver)):
            one.step = step
            found.append((one.picture_step, bool(one.losses_now()), one.uncond_now is not None))
        if one.begun:
            return found, one.total
        one = hand_over(one, refiner)


@pytest.mark.parametrize("sampler", BASES)
@pytest.mark.parametrize("image", [False, True])
def test_every_step_is_counted_once(sampler, image, sdxl, request_for, tmp_path):
    """A loss at every step acts once in each of them, and guidance stops after its share of them, wherever the cut is."""
    every = LossSpec("contrast", 1.0, 1)
    given = {"init_image": picture_file(tmp_path), "strength": 0.8} if image else {}
    for steps in (5, 8, 10):
        for switch_at in (0.45, 0.5, 0.6, 0.72, 0.8):
            asked = request_for(sampler, steps, switch_at, losses=(every,), guidance_stop=0.6, **given)
            found, total = calls(sdxl, asked)
            taken = int(steps * asked.strength)
            if sampler == "pndm":  # the refiner's first step takes two calls again, so there is one step less
                assert total in (taken, taken - 1)
            else:
                assert total == taken
            acted = [number for number, acts, _ in found if acts]
            assert acted == list(range(total)), (steps, switch_at)
            assert {number for number, _, guided in found if guided} == set(range(int(0.6 * total)))
            # The same number, the same answer: a repeated step is guided as it was.
            assert all(guided == (number < int(0.6 * total)) for number, _, guided in found)


@pytest.mark.parametrize("sampler", ["heun", "kdpm2", "kdpm2_a", "dpmpp_sde", "euler", "pndm"])
def test_the_rule_touches_just_the_jobs_whose_counting_changed(sampler, sdxl, scene, request_for):
    model = sdxl._model
    seen = set()
    for steps in (3, 8, 10):
        for switch_at in (0.45, 0.5, 0.6, 0.7, 0.8):
            asked = request_for(sampler, steps, switch_at)
            whole = model.solvers.table(sampler, steps)
            inside = not whole.begins_step(switch_call(whole, model.solvers, switch_at)) and sampler != "pndm"
            seen.add(inside)
            touched = [rule.name for rule in rules_of(asked, scene)]
            assert ("switch-inside-a-step" in touched) == inside, (steps, switch_at)
            # Nothing is counted without guidance and losses, and nothing is handed over without a refiner.
            assert not rules_of(replace(asked, guidance_scale=1.0), scene)
            assert not rules_of(replace(asked, refiner=None), scene)
            # Guidance that ends in the base is not missed in the refiner.
            assert not rules_of(replace(asked, guidance_stop=0.01), scene)
    assert (True in seen) == (BASES[sampler].order == 2)
