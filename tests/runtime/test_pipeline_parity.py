"""The runtime's pictures against StableDiffusionPipeline in torch, with diffusers' own textual inversion."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from compare import diffusers_scheduler, psnr
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest
from latentpress.runtime.sampling.samplers import BASES

TOKENS = ("<line-art>", "<gta5-artwork>", "<moeb-style>", "<dr-strange>", "<hitokomoru-style-nao>")


def request(prompt, seed, sampler, *, steps=12, guidance_scale=8.0, negative_prompt="", size=64):
    return RenderRequest(
        prompt=prompt,
        negative_prompt=negative_prompt,
        seed=seed,
        height=size,
        width=size,
        sampler=sampler,
        steps=steps,
        guidance_scale=guidance_scale,
    )


def diffusers_picture(pipeline, assets, asked):
    config = json.loads((assets / "checkpoint/scheduler/scheduler_config.json").read_text())
    config = {key: value for key, value in config.items() if not key.startswith("_")}
    pipeline.scheduler = diffusers_scheduler(asked.sampler, config, asked.seed)
    images = pipeline(
        asked.prompt,
        negative_prompt=asked.negative_prompt,
        height=asked.height,
        width=asked.width,
        num_inference_steps=asked.steps,
        guidance_scale=asked.guidance_scale,
        eta=asked.eta,
        generator=torch.Generator().manual_seed(asked.seed),
        output_type="pil",
    ).images
    return np.asarray(images[0])


EVERY_SAMPLER = [*BASES, *(f"{name}_karras" for name, base in BASES.items() if base.sigmas), "dpmpp_2m_sde_exponential"]


@pytest.mark.parametrize("sampler", [*EVERY_SAMPLER, "ddim_trailing", "euler_trailing", "dpmpp_2m_karras_trailing"])
def test_every_sampler_matches_diffusers(sampler, assets, renderer, reference_pipeline):
    asked = request("a mouse in the style of <moeb-style>", 52, sampler)
    expected = diffusers_picture(reference_pipeline, assets, asked)
    (rendered,) = renderer.render([("only", asked)])
    assert expected.std() > 5, "a flat picture proves nothing"
    assert psnr(rendered.image, expected) >= 40


@pytest.mark.parametrize("sampler", ["ddim", "euler_a", "lms", "dpmpp_2m_karras", "heun"])
def test_five_styles_match_diffusers(sampler, assets, renderer, reference_pipeline):
    requests = {
        index: request(f"a mouse in the style of {token}", 41 + index, sampler) for index, token in enumerate(TOKENS)
    }
    pictures = {rendered.key: rendered.image for rendered in renderer.render(requests.items())}
    assert sorted(pictures) == sorted(requests)
    for index, asked in requests.items():
        expected = diffusers_picture(reference_pipeline, assets, asked)
        assert expected.std() > 5, "a flat picture proves nothing"
        assert psnr(pictures[index], expected) >= 40, TOKENS[index]


def test_different_concepts_give_different_pictures(renderer):
    requests = [(token, request(f"a mouse in the style of {token}", 7, "ddim", steps=8)) for token in TOKENS]
    pictures = [rendered.image for rendered in renderer.render(requests)]
    for index, picture in enumerate(pictures):
        assert all(psnr(picture, other) < 40 for other in pictures[index + 1 :])


@pytest.mark.parametrize(
    "asked",
    [
        request("a red mouse", 3, "euler", guidance_scale=7.5, negative_prompt="blurry grey <line-art>"),
        request("a red mouse", 3, "lms", guidance_scale=1.0),
        request("", 4, "dpmpp_2m", guidance_scale=5.0),
        request("a house " * 60, 5, "ddim", guidance_scale=5.0),
    ],
    ids=["negative", "no-cfg", "empty", "cut-at-77"],
)
def test_prompts_match_diffusers(asked, assets, renderer, reference_pipeline):
    (rendered,) = renderer.render([("only", asked)])
    assert psnr(rendered.image, diffusers_picture(reference_pipeline, assets, asked)) >= 40


@pytest.mark.parametrize("eta", [0.4, 1.0])
def test_ddim_with_noise_matches_diffusers(eta, assets, renderer, reference_pipeline):
    asked = replace(request("a red mouse", 8, "ddim"), eta=eta)
    (rendered,) = renderer.render([("only", asked)])
    assert psnr(rendered.image, diffusers_picture(reference_pipeline, assets, asked)) >= 40


def test_a_portrait_size_matches_diffusers(assets, renderer, reference_pipeline):
    asked = RenderRequest("a tall mouse", 9, height=96, width=64, sampler="euler", steps=8, guidance_scale=7.5)
    (rendered,) = renderer.render([("only", asked)])
    assert rendered.image.shape == (96, 64, 3)
    assert psnr(rendered.image, diffusers_picture(reference_pipeline, assets, asked)) >= 40


def test_no_unconditional_row_at_scale_one(bundle, renderer):
    rows = []
    one = request("a mouse", 1, "euler", steps=3, guidance_scale=1.0)
    two = request("a mouse", 2, "euler", steps=3, guidance_scale=1.5)
    list(renderer.render([("one", one)], on_turn=rows.append))
    list(renderer.render([("one", one), ("two", two)], on_turn=rows.append))
    assert rows == [1, 1, 1, 3, 3, 3]


def test_torch_sessions_render_the_same(bundle, renderer, reference_pipeline):
    from latentpress.engines.session import TorchSession

    unet = TorchSession(lambda **inputs: {"noise_pred": reference_pipeline.unet(**inputs).sample})
    decoder = TorchSession(lambda latents: {"sample": reference_pipeline.vae.decode(latents).sample})
    in_torch = Renderer(bundle, sessions={"unet": unet, "vae_decoder": decoder})
    assert in_torch.provider == "torch-cpu"
    asked = [("only", request("a mouse in the style of <moeb-style>", 6, "lms_karras"))]
    (expected,), (found,) = in_torch.render(asked), renderer.render(asked)
    assert psnr(found.image, expected.image) >= 40
