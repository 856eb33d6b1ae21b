"""Classifier-free guidance that ends early, against diffusers' documented dynamic CFG, and the rows it saves."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline

from compare import diffusers_scheduler, psnr
from families import pixels
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import Refiner, RenderRequest

PROMPT, NEGATIVE, STEPS = "a red mouse in the night", "blurry blue", 8
COMMON = {"num_inference_steps": STEPS, "guidance_scale": 6.0, "negative_prompt": NEGATIVE}
SIZE = {"height": 64, "width": 64}
XL = ["prompt_embeds", "add_text_embeds", "add_time_ids"]


def until(calls, tensors=("prompt_embeds",)):
    """diffusers' "dynamic classifier-free guidance" (docs: using-diffusers/callback): off after so many UNet calls."""

    def callback(pipeline, index, timestep, kwargs):
        if index == calls - 1:
            pipeline._guidance_scale = 0.0
            kwargs = {name: kwargs[name].chunk(2)[-1] for name in kwargs}
        return kwargs

    return {"callback_on_step_end": callback, "callback_on_step_end_tensor_inputs": list(tensors)}


def request(sampler="euler", stop=0.5, **changes):
    given = {"negative_prompt": NEGATIVE, "seed": 5, "steps": STEPS, "guidance_scale": 6.0, **changes}
    return RenderRequest(PROMPT, sampler=sampler, guidance_stop=stop, **SIZE, **given)


def rendered(renderer, asked, rows=None):
    (found,) = renderer.render([("only", asked)], on_turn=None if rows is None else rows.append)
    assert found.error is None
    return found.image


def agree(renderer, asked, expected, bound=40):
    rows = []
    found = rendered(renderer, asked, rows)
    assert expected.std() > 5, "a flat picture proves nothing"
    assert psnr(found, expected) >= bound
    assert psnr(rendered(renderer, replace(asked, guidance_stop=1.0)), expected) < bound, "the stop must show"
    return rows


@pytest.fixture(scope="module")
def pipeline_for(assets, reference_pipeline):
    config = json.loads((assets / "checkpoint/scheduler/scheduler_config.json").read_text())
    plain = {key: value for key, value in config.items() if not key.startswith("_")}

    def get(sampler):
        reference_pipeline.scheduler = diffusers_scheduler(sampler, plain, 5)
        return reference_pipeline

    return get


# UNet calls with guidance and without it: two-call samplers have one call in their last step, PNDM two in its first.
CALLS = {
    "ddim": (4, 4),
    "euler_a": (4, 4),
    "dpmpp_2m_karras": (4, 4),
    "lms": (4, 4),
    "heun": (8, 7),
    "kdpm2_a": (8, 7),
    "pndm": (5, 4),
}


@pytest.mark.parametrize("sampler", CALLS)
def test_guidance_stops_as_diffusers_dynamic_cfg(sampler, pipeline_for, renderer):
    guided, rest = CALLS[sampler]
    generator = torch.Generator().manual_seed(5)
    expected = np.asarray(
        pipeline_for(sampler)(PROMPT, generator=generator, **SIZE, **COMMON, **until(guided)).images[0]
    )
    rows = agree(renderer, request(sampler), expected)
    assert rows == [2] * guided + [1] * rest


@pytest.mark.parametrize(("stop", "guided"), [(0.8, 6), (0.99, 7), (1.0, 8), (0.1, 0), (0.0, 0)])
def test_the_share_is_rounded_down_as_diffusers_guiders_do(stop, guided, renderer):
    rows = []
    rendered(renderer, request(stop=stop), rows)
    assert rows == [2] * guided + [1] * (STEPS - guided)
    assert request(stop=stop).guided_steps(STEPS) == guided
    assert request(stop=stop, guidance_scale=1.0).guided_steps(STEPS) == 0


def test_no_guided_step_is_no_guidance(renderer):
    assert np.array_equal(
        rendered(renderer, request(stop=0.0)), rendered(renderer, request(stop=1.0, guidance_scale=1.0))
    )


def test_guidance_rescale_ends_with_it(exported):
    pipeline = exported("sd2").pipeline(StableDiffusionPipeline, "ddim")
    expected = pixels(pipeline, PROMPT, seed=5, guidance_rescale=0.7, **SIZE, **COMMON, **until(4))
    agree(Renderer(exported("sd2").bundle), request("ddim", guidance_rescale=0.7), expected)


@pytest.mark.parametrize(("stop", "base_calls", "refiner_calls"), [(0.25, 2, 0), (0.75, 4, 2)])
def test_the_refiner_goes_on_counting(stop, base_calls, refiner_calls, exported):
    refiner = exported("refiner")
    generator = torch.Generator().manual_seed(5)
    base = exported("sdxl").pipeline(StableDiffusionXLPipeline, "euler")
    given = {"generator": generator, **COMMON}
    latents = base(PROMPT, denoising_end=0.5, output_type="latent", **SIZE, **given, **until(base_calls, XL)).images
    second = refiner.pipeline(StableDiffusionXLImg2ImgPipeline, "euler")
    options = given | (until(refiner_calls, XL) if refiner_calls else {"guidance_scale": 0.0})
    expected = np.asarray(second(PROMPT, image=latents, denoising_start=0.5, **options).images[0])
    renderer = Renderer(exported("sdxl").bundle, refiners=[refiner.bundle])
    asked = request(stop=stop, refiner=Refiner(refiner.bundle.hash, 0.5))
    guided = base_calls + refiner_calls
    # The two last steps show less than the promised 40 dB; 80 and more are measured.
    assert agree(renderer, asked, expected, bound=60) == [2] * guided + [1] * (STEPS - guided)


def test_in_one_batch_with_others_the_pixels_stay(renderer):
    asked = {
        "stops": request(stop=0.5),
        "goes on": request(stop=1.0, seed=6),
        "two calls": request("heun", stop=0.3),
        "never": request(stop=1.0, guidance_scale=1.0, seed=7),
        "stops late": request("dpmpp_2m", stop=0.9, seed=8),
    }
    rows = []
    together = {found.key: found.image for found in renderer.render(asked.items(), on_turn=rows.append)}
    for key, one in asked.items():
        alone = rendered(renderer, one)
        assert hashlib.sha256(together[key].tobytes()).digest() == hashlib.sha256(alone.tobytes()).digest(), key
    # Every call's rows, guided ones twice: 8 + 4, 8 + 8, 15 + 4, 8, 8 + 7.
    assert sum(rows) == 12 + 16 + 19 + 8 + 15
    assert max(rows) <= renderer.batch_rows
