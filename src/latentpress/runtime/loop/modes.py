"""How a picture begins: from noise, from a given picture, inside a mask, or where an SDXL base hands it to a refiner.

Every mode ends in a `Trajectory`, which the denoising loop runs like any other. Each draws from the image's generator
in diffusers' order: the given picture's posterior, then the noise, then the masked picture's posterior.
"""

import time

import numpy as np

from latentpress.runtime.loop.model import Model
from latentpress.runtime.loop.trajectory import Blend, Latents, Trajectory, noised
from latentpress.runtime.request import K, RenderRequest, first_step
from latentpress.runtime.sampling.noise import NoiseSource
from latentpress.runtime.sampling.solvers import switch_call


def begin(model: Model, key: K, request: RenderRequest) -> Trajectory[K]:
    """The trajectory of `request` before its first step; where a refiner follows, up to the hand-over.

    Raises UsageError for a given picture that cannot be read.
    """
    info = model.info
    whole = model.solvers.table(request.sampler, request.steps)
    solver = model.solvers.table(
        request.sampler, request.steps, start=first_step(request) * whole.order, eta=request.eta
    )
    total = solver.steps
    if request.refiner is not None:
        solver = solver.until_call(switch_call(whole, model.solvers, request.refiner.switch_at))
    noise = NoiseSource(request.seed)
    image_latents: Latents | None = None
    keeps = request.mask_image is not None and not info.inpainting
    # An inpainting UNet that begins from pure noise is not given the picture's latents, and draws none.
    if request.init_image is not None and (request.mask_image is None or keeps or request.strength < 1):
        image_latents = model.images.latents(request, noise)
    scale = info.vae_scale_factor
    unit = noise.draw(info.latent_channels, request.height // scale, request.width // scale)
    if image_latents is None or (request.mask_image is not None and request.strength == 1):
        latents = unit * np.float32(solver.init_noise_sigma)
    else:
        latents = noised(solver, 0, image_latents, unit)
    blend: Blend | None = None
    if keeps and image_latents is not None:
        blend = Blend(model.images.mask(request), image_latents, unit)
        # diffusers encodes the masked picture here too, and does not use it; its draw moves an ancestral sampler's.
        noise.draw(*unit.shape)
    return Trajectory(
        key=key,
        request=request,
        solver=solver,
        noise=noise,
        latents=latents,
        cond=model.condition.cond(request),
        uncond=model.condition.uncond(request),
        channels=_inpainting_channels(model, request, noise),
        blend=blend,
        total=total,
        started=time.perf_counter(),
    )


def hand_over(trajectory: Trajectory[K], refiner: Model) -> Trajectory[K]:
    """The refiner's part of a picture whose base part is done: the same latents and generator, no noise added.

    The history of a multistep sampler is not carried over, because the refiner's predictions are its own.
    """
    request = trajectory.request
    assert request.refiner is not None, "only a request with a refiner is handed over"
    whole = refiner.solvers.table(request.sampler, request.steps)
    start = switch_call(whole, refiner.solvers, request.refiner.switch_at)
    # diffusers takes a whole step more rather than begin with a two-call step's second call.
    start -= (len(whole) - start + 1) % 2 if whole.order == 2 else 0
    return Trajectory(
        key=trajectory.key,
        request=request,
        solver=refiner.solvers.table(request.sampler, request.steps, start=start, eta=request.eta),
        noise=trajectory.noise,
        latents=trajectory.latents,
        cond=refiner.condition.cond(request),
        uncond=refiner.condition.uncond(request),
        first=trajectory.solver.steps,
        total=trajectory.total,
        started=trajectory.started,
    )


def _inpainting_channels(model: Model, request: RenderRequest, noise: NoiseSource) -> Latents | None:
    """(5, h, w), mask then masked picture's latents, for an inpainting UNet; takes one draw from `noise`."""
    if not model.info.inpainting:
        return None
    assert request.init_image is not None, "an inpainting bundle was given a request without a picture"
    assert request.mask_image is not None, "an inpainting bundle was given a request without a mask"
    return np.concatenate([model.images.mask(request), model.images.latents(request, noise, masked=True)])
