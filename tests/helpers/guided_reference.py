"""The loop of the fastai / School of AI notebooks with the raw step, in full torch: of any loss, and of what it keeps."""

import json

import torch

from compare import diffusers_scheduler

STEPS, SCALE, EVERY = 15, 8.0, 5


def embed(pipeline, prompt):
    ids = pipeline.tokenizer(
        pipeline.maybe_convert_prompt(prompt, pipeline.tokenizer),
        padding="max_length",
        max_length=77,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    return pipeline.text_encoder(ids)[0]


def reference_picture(pipeline, assets, asked, loss, scale, keeps=None):
    """facts: x0 = x - sigma*eps; x -= grad(scale*loss(decode(x0)))*sigma^2; scheduler.step with the OLD eps.

    loss: of the image and of x0; keeps: of the image, what the gradient must not change.
    """
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
        begun = call // order >= (asked.losses[0].start * asked.steps if asked.losses else 0)
        if loss is not None and begun and call % (order * EVERY) == 0:
            x = x.detach().requires_grad_()
            if sigma_space:
                sigma = scheduler.sigmas[call]
                x0, weight = x - sigma * eps, sigma**2
            else:
                abar = scheduler.alphas_cumprod[int(t)]
                # d x0 / d x = 1 / sqrt(abar), so the x-gradient times (1 - abar) is (1-abar)/sqrt(abar) * dL/dx0.
                x0, weight = (x - (1 - abar).sqrt() * eps) / abar.sqrt(), 1 - abar
            image = pipeline.vae.decode(x0 / pipeline.vae.config.scaling_factor).sample / 2 + 0.5
            (gradient,) = torch.autograd.grad(scale * loss(image, x0), x, retain_graph=keeps is not None)
            if keeps is not None:
                away = torch.autograd.grad(keeps(image), x)[0].flatten()
                away /= away.norm()
                gradient -= (gradient.flatten() @ away * away).view_as(gradient)
            x = x.detach() - gradient * weight
        x = scheduler.step(eps, t, x).prev_sample
    with torch.no_grad():
        image = pipeline.vae.decode(x / pipeline.vae.config.scaling_factor).sample / 2 + 0.5
    return (image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
