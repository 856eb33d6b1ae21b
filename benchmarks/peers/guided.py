"""What a script does for a loss of one's own: the classical guided loop, in plain torch on diffusers' parts."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.request import RenderRequest


def guided_picture(pipe: Any, request: RenderRequest) -> NDArray[np.uint8]:
    """One picture (H, W, 3); the loss on the decoded x0 moves the latents on every `every`-th step."""
    (loss,) = request.losses
    scheduler, vae, factor = pipe.scheduler, pipe.vae, pipe.vae.config.scaling_factor
    dtype = pipe.unet.dtype  # the latents stay float32, as a script in half precision keeps them
    with torch.no_grad():
        cond, uncond = pipe.encode_prompt(request.prompt, "cpu", 1, True, request.negative_prompt)
        states = torch.cat([uncond, cond])
    scheduler.set_timesteps(request.steps)
    generator = torch.Generator().manual_seed(request.seed)
    side = request.height // pipe.vae_scale_factor, request.width // pipe.vae_scale_factor
    latents = torch.randn((1, 4, *side), generator=generator) * scheduler.init_noise_sigma
    for step, timestep in enumerate(scheduler.timesteps):
        with torch.no_grad():
            model_input = scheduler.scale_model_input(torch.cat([latents] * 2), timestep)
            model_input = model_input.to(dtype)
            predicted = pipe.unet(model_input, timestep, encoder_hidden_states=states).sample.float()
            uncond_pred, cond_pred = predicted.chunk(2)
            noise_pred = uncond_pred + request.guidance_scale * (cond_pred - uncond_pred)
        if step % loss.every == 0:
            alpha, sigma, nudge = _levels(scheduler, step, timestep)
            latents = latents.detach().requires_grad_()
            x0 = (latents - sigma * noise_pred) / alpha
            image = vae.decode((x0 / factor).to(dtype)).sample.float() / 2 + 0.5
            value = loss.scale * LOSSES[loss.name](image, loss.params).sum()
            # The gradient by x0 is alpha times the one by the latents.
            (gradient,) = torch.autograd.grad(value, latents)
            latents = latents.detach() - nudge * alpha * gradient
        latents = scheduler.step(noise_pred, timestep, latents, **_noise(scheduler, generator)).prev_sample
    with torch.no_grad():
        image = vae.decode((latents / factor).to(dtype)).sample.float() / 2 + 0.5
    return (image.clamp(0, 1)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


def _levels(scheduler: Any, step: int, timestep: Any) -> tuple[float, float, float]:
    """(alpha, sigma) with latents = alpha * x0 + sigma * eps at this step, and the factor of the push along dL/dx0."""
    if type(scheduler).__name__ in ("DDIMScheduler", "DPMSolverMultistepScheduler"):
        if hasattr(scheduler, "sigmas"):
            ratio = float(scheduler.sigmas[step])
            alpha = 1 / (1 + ratio**2) ** 0.5
        else:
            alpha = float(scheduler.alphas_cumprod[timestep]) ** 0.5
        sigma = (1 - alpha**2) ** 0.5
        return alpha, sigma, sigma**2 / alpha
    sigma = float(scheduler.sigmas[step])
    return 1.0, sigma, sigma**2


def _noise(scheduler: Any, generator: torch.Generator) -> dict[str, torch.Generator]:
    return {"generator": generator} if "Ancestral" in type(scheduler).__name__ else {}
