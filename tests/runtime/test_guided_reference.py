"""Loss guidance against the loop of the fastai / School of AI notebooks, written out in full torch."""

import json

import cv2
import numpy as np
import pytest
import torch

from compare import diffusers_scheduler, psnr
from latentpress.runtime.request import LossSpec, RenderRequest

STEPS, SCALE, EVERY = 15, 8.0, 5


def reference_canny(image):
    edges = cv2.Canny((image[0].detach().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy(), 100, 200)
    return ((image - torch.from_numpy(edges).float() / 255) ** 2).mean()


LOSSES = {
    "canny": (LossSpec("canny", 200.0, EVERY, step="raw", params={"low": 100, "high": 200}), reference_canny),
    "channel": (
        LossSpec("channel", 200.0, EVERY, step="raw", params={"channel": "blue", "target": 0.9}),
        lambda image: (image[:, 2] - 0.9).abs().mean(),
    ),
    "saturation": (
        LossSpec("saturation", 200.0, EVERY, step="raw"),
        lambda image: -(((image - image.mean(1, keepdim=True)) ** 2).mean(1) + 1e-6).sqrt().mean(),
    ),
    "contrast": (
        LossSpec("contrast", 100.0, EVERY, step="raw"),
        lambda image: (
            -((0.299 * image[0, 0] + 0.587 * image[0, 1] + 0.114 * image[0, 2]).var(unbiased=False) + 1e-6).sqrt()
        ),
    ),
    "symmetry": (
        LossSpec("symmetry", 200.0, EVERY, step="raw"),
        lambda image: ((image - torch.flip(image, [3])) ** 2).mean(),
    ),
}


def embed(pipeline, prompt):
    ids = pipeline.tokenizer(
        pipeline.maybe_convert_prompt(prompt, pipeline.tokenizer),
        padding="max_length",
        max_length=77,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    return pipeline.text_encoder(ids)[0]


def reference_picture(pipeline, assets, asked, loss, scale):
    """facts: x0 = x - sigma*eps; x -= grad(scale*loss(decode(x0)))*sigma^2; scheduler.step with the OLD eps."""
    config = json.loads((assets / "checkpoint/scheduler/scheduler_config.json").read_text())
    scheduler = diffusers_scheduler(asked.sampler, {k: v for k, v in config.items() if not k.startswith("_")})
    scheduler.set_timesteps(asked.steps)
    with torch.no_grad():
        hidden = torch.cat([embed(pipeline, ""), embed(pipeline, asked.prompt)])
    generator = torch.Generator().manual_seed(asked.seed)
    x = torch.randn(1, 4, asked.height // 8, asked.width // 8, generator=generator) * scheduler.init_noise_sigma
    sigma_space = "sigmas" in vars(scheduler) and asked.sampler != "dpmpp_2m"
    order = 2 if asked.sampler == "heun" else 1
    for call, t in enumerate(scheduler.timesteps):
        with torch.no_grad():
            inputs = scheduler.scale_model_input(torch.cat([x, x]), t)
            uncond, cond = pipeline.unet(inputs, t, encoder_hidden_states=hidden).sample.chunk(2)
            eps = uncond + asked.guidance_scale * (cond - uncond)
        if loss is not None and call % (order * EVERY) == 0:
            x = x.detach().requires_grad_()
            if sigma_space:
                sigma = scheduler.sigmas[call]
                x0, weight = x - sigma * eps, sigma**2
            else:
                abar = scheduler.alphas_cumprod[int(t)]
                # d x0 / d x = 1 / sqrt(abar), so the x-gradient times (1 - abar) is (1-abar)/sqrt(abar) * dL/dx0.
                x0, weight = (x - (1 - abar).sqrt() * eps) / abar.sqrt(), 1 - abar
            image = pipeline.vae.decode(x0 / pipeline.vae.config.scaling_factor).sample / 2 + 0.5
            x = x.detach() - torch.autograd.grad(scale * loss(image), x)[0] * weight
        x = scheduler.step(eps, t, x).prev_sample
    with torch.no_grad():
        image = pipeline.vae.decode(x / pipeline.vae.config.scaling_factor).sample / 2 + 0.5
    return (image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def guided(sampler, spec):
    return RenderRequest(
        "a mouse in the style of <gta5-artwork>", 42, 64, 64, sampler, STEPS, SCALE, losses=(spec,) if spec else ()
    )


@pytest.mark.parametrize("sampler", ["lms", "ddim", "dpmpp_2m", "euler", "heun"])
@pytest.mark.parametrize("name", LOSSES)
def test_guided_pictures_match_the_reference_loop(name, sampler, assets, renderer, reference_pipeline):
    spec, loss = LOSSES[name]
    asked = guided(sampler, spec)
    expected = reference_picture(reference_pipeline, assets, asked, loss, spec.scale)
    (rendered,) = renderer.render([("guided", asked)])
    assert psnr(rendered.image, expected) >= 40


@pytest.mark.parametrize("name", LOSSES)
def test_guidance_lowers_its_own_loss(name, renderer):
    spec, loss = LOSSES[name]
    pictures = {
        rendered.key: torch.from_numpy(rendered.image.astype(np.float32) / 255).permute(2, 0, 1)[None]
        for rendered in renderer.render([("guided", guided("lms", spec)), ("plain", guided("lms", None))])
    }
    assert float(loss(pictures["guided"])) < float(loss(pictures["plain"]))


def test_the_reported_loss_is_the_pictures_own(renderer):
    spec, loss = LOSSES["channel"]
    (rendered,) = renderer.render([("guided", guided("lms", spec))])
    image = torch.from_numpy(rendered.image.astype(np.float32) / 255).permute(2, 0, 1)[None]
    assert rendered.losses == (("channel", pytest.approx(float(loss(image)), rel=1e-5)),)


def test_canny_sees_edges_and_works_per_image():
    from latentpress.runtime.guidance.losses.canny import canny

    flat = torch.full((1, 3, 32, 32), 0.5)
    square = flat.clone()
    square[..., 8:24, 8:24] = 1.0
    both = canny(torch.cat([flat, square]), low=100, high=200)
    assert both[0] == pytest.approx(0.25)  # no edge: mean(image^2)
    # The wild bug (a uint8 cast of 0..1) sees no edge here and gives mean(image^2).
    assert both[1] != pytest.approx(float(square.square().mean()), rel=1e-3)
    alone = canny(square, low=100, high=200)
    assert both[1] == pytest.approx(float(alone[0]))
