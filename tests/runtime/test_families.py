"""Every family's pictures against its own diffusers pipeline: what it attends to, and how a refiner takes over."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline

from compare import diffusers_scheduler, psnr
from families import pixels
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import LossSpec, MicroConditioning, Refiner, RenderRequest

PROMPT, NEGATIVE = "a red mouse in the night", "blurry blue"
# dB; 40 is what is promised. Measured 80 and more, while a wrong mode of these small models can come to 46.
BOUND = 60
STEPS, SCALE = 8, 6.0
COMMON = {"num_inference_steps": STEPS, "guidance_scale": SCALE}


def request(sampler="euler", **changes):
    given = {"negative_prompt": NEGATIVE, "seed": 5, **changes}
    return RenderRequest(PROMPT, height=64, width=64, sampler=sampler, steps=STEPS, guidance_scale=SCALE, **given)


def rendered(renderer, asked):
    (found,) = renderer.render([("only", asked)])
    assert found.error is None
    return found.image


def agree(found, expected):
    assert expected.std() > 5, "a flat picture proves nothing"
    assert psnr(found, expected) >= BOUND


@pytest.fixture(scope="module")
def sdxl(exported):
    return Renderer(exported("sdxl").bundle, refiners=[exported("refiner").bundle])


def xl_pipeline(exported, sampler="euler"):
    return exported("sdxl").pipeline(StableDiffusionXLPipeline, sampler)


@pytest.mark.parametrize("sampler", ["ddim", "euler", "dpmpp_2m"])
def test_stable_diffusion_2_predicts_v(sampler, exported):
    info = exported("sd2").bundle.info
    assert (info.family, info.prediction_type) == ("sd2", "v_prediction")
    pipeline = exported("sd2").pipeline(StableDiffusionPipeline, sampler)
    expected = pixels(pipeline, PROMPT, negative_prompt=NEGATIVE, height=64, width=64, seed=5, **COMMON)
    agree(rendered(Renderer(exported("sd2").bundle), request(sampler)), expected)


@pytest.mark.parametrize("phi", [0.3, 0.7])
def test_guidance_rescale(phi, exported):
    pipeline = exported("sd2").pipeline(StableDiffusionPipeline, "ddim")
    options = {"negative_prompt": NEGATIVE, "height": 64, "width": 64, "seed": 5, **COMMON}
    expected = pixels(pipeline, PROMPT, guidance_rescale=phi, **options)
    renderer = Renderer(exported("sd2").bundle)
    agree(rendered(renderer, request("ddim", guidance_rescale=phi)), expected)
    assert psnr(rendered(renderer, request("ddim")), expected) < 40


@pytest.mark.parametrize("sampler", ["euler", "euler_a", "dpmpp_2m"])
@pytest.mark.parametrize("negative", [None, "", NEGATIVE])
def test_sdxl_and_its_three_negatives(sampler, negative, exported, sdxl):
    pipeline = xl_pipeline(exported, sampler)
    expected = pixels(pipeline, PROMPT, negative_prompt=negative, height=64, width=64, seed=5, **COMMON)
    agree(rendered(sdxl, request(sampler, negative_prompt=negative)), expected)


def test_no_negative_prompt_is_not_the_empty_one(sdxl):
    pictures = [rendered(sdxl, request(negative_prompt=negative)) for negative in (None, "")]
    assert psnr(*pictures) < 40


def test_micro_conditioning(exported, sdxl):
    # Far from the picture's own sizes: the small UNet must show it.
    sizes = {"original_size": (900, 400), "target_size": (300, 1700)}
    options = {"negative_prompt": NEGATIVE, "height": 64, "width": 64, "seed": 5, **COMMON}
    expected = pixels(xl_pipeline(exported), PROMPT, crops_coords_top_left=(40, 300), **sizes, **options)
    agree(rendered(sdxl, request(micro=MicroConditioning(crop_top_left=(40, 300), **sizes))), expected)
    assert psnr(rendered(sdxl, request()), expected) < 40


def test_sdxl_clip_skip_goes_for_the_negative_prompt_too(exported, sdxl):
    pipeline = xl_pipeline(exported)
    options = {"height": 64, "width": 64, "seed": 5, **COMMON}
    skipped = [
        pipeline.encode_prompt(text, device="cpu", do_classifier_free_guidance=False, clip_skip=1)
        for text in (PROMPT, NEGATIVE)
    ]
    (prompt, _, pooled, _), (negative, _, negative_pooled, _) = skipped
    expected = pixels(
        pipeline,
        prompt_embeds=prompt,
        pooled_prompt_embeds=pooled,
        negative_prompt_embeds=negative,
        negative_pooled_prompt_embeds=negative_pooled,
        **options,
    )
    agree(rendered(sdxl, request(clip_skip=1)), expected)
    assert psnr(rendered(sdxl, request()), expected) < 40


def test_clip_skip_normalises_the_layer_it_stops_at(assets, renderer, reference_pipeline):
    import json

    config = json.loads((assets / "checkpoint/scheduler/scheduler_config.json").read_text())
    reference_pipeline.scheduler = diffusers_scheduler("ddim", {k: v for k, v in config.items() if k[0] != "_"})
    negative = reference_pipeline.encode_prompt(NEGATIVE, "cpu", 1, False, clip_skip=1)[0]
    options = {"negative_prompt_embeds": negative, "height": 64, "width": 64, "seed": 5, **COMMON}
    expected = pixels(reference_pipeline, PROMPT, clip_skip=1, **options)
    agree(rendered(renderer, request("ddim", clip_skip=1)), expected)
    assert psnr(rendered(renderer, request("ddim")), expected) < 40


@pytest.mark.parametrize("sampler", ["ddim", "euler", "euler_a", "lms", "dpmpp_2m", "dpmpp_2m_karras"])
@pytest.mark.parametrize("switch_at", [0.5, 0.8])
def test_a_refiner_takes_over_as_an_ensemble_of_experts(sampler, switch_at, exported, sdxl):
    refiner = exported("refiner")
    options = {"negative_prompt": NEGATIVE, "generator": torch.Generator().manual_seed(5), **COMMON}
    base = xl_pipeline(exported, sampler)
    latents = base(PROMPT, height=64, width=64, denoising_end=switch_at, output_type="latent", **options).images
    second = refiner.pipeline(StableDiffusionXLImg2ImgPipeline, sampler)
    # The same generator object: an ancestral sampler goes on drawing from it.
    expected = np.asarray(second(PROMPT, image=latents, denoising_start=switch_at, **options).images[0])
    asked = request(sampler, refiner=Refiner(refiner.bundle.hash, switch_at))
    agree(rendered(sdxl, asked), expected)
    assert psnr(rendered(sdxl, replace(asked, refiner=None)), expected) < BOUND


def test_the_refiner_is_told_aesthetic_scores(exported, sdxl):
    asked = request(refiner=Refiner(exported("refiner").bundle.hash, 0.5))
    ugly = replace(asked, micro=MicroConditioning(aesthetic_score=0.0, negative_aesthetic_score=10.0))
    assert (rendered(sdxl, asked) != rendered(sdxl, ugly)).any()


def test_a_loss_goes_on_in_the_refiner(exported, sdxl):
    loss = LossSpec("channel", 50.0, 1, 0.5, 1.0, {"channel": "red", "target": 1.0})
    asked = request(refiner=Refiner(exported("refiner").bundle.hash, 0.5))
    plain = rendered(sdxl, asked)
    # The loss acts in the second half alone, which is the refiner's.
    guided = rendered(sdxl, replace(asked, losses=(loss,)))
    assert guided[..., 0].mean() > plain[..., 0].mean()
