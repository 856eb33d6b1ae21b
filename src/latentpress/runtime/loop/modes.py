"""How a picture begins: from noise, from a given picture, inside a mask, or where an SDXL base hands it to a refiner.

Every mode ends in a `Trajectory`, which the denoising loop runs like any other. Each draws from the image's generator
in diffusers' order: the given picture's posterior, then the noise, then the masked picture's posterior.
"""

import time

import numpy as np

from latentpress.runtime.loop.model import Model
from latentpress.runtime.loop.trajectory import Blend, Latents, Trajectory, noised
from latentpress.runtime.request import K, RenderRequest
from latentpress.runtime.sampling.noise import NoiseSource
from latentpress.runtime.sampling.steps import parts_of, refiner_steps


def begin(model: Model, key: K, request: RenderRequest) -> Trajectory[K]:
    """The trajectory of `request` before its first step; where a refiner follows, up to the hand-over.

    Raises UsageError for a given picture that cannot be read.
    """
    info = model.info
    # What a refiner's own schedule would make of the steps is not known here, and is not expected to differ.
    (part, *_), total = parts_of(request, model.solvers, model.solvers)
    solver = part.table
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
    first, solver = refiner_steps(request, refiner.solvers)
    return Trajectory(
        key=trajectory.key,
        request=request,
        solver=solver,
        noise=trajectory.noise,
        latents=trajectory.latents,
        cond=refiner.condition.cond(request),
        uncond=refiner.condition.uncond(request),
        first=first,
        begun=trajectory.solver.steps,
        total=trajectory.total,
        first_call=trajectory.first_call + len(trajectory.solver),
        started=trajectory.started,
        guided=trajectory.guided,
    )


def _inpainting_channels(model: Model, request: RenderRequest, noise: NoiseSource) -> Latents | None:
    """(5, h, w), mask then masked picture's latents, for an inpainting UNet; takes one draw from `noise`."""
    if not model.info.inpainting:
        return None
    assert request.init_image is not None, "an inpainting bundle was given a request without a picture"
    assert request.mask_image is not None, "an inpainting bundle was given a request without a mask"
    return np.concatenate([model.images.mask(request), model.images.latents(request, noise, masked=True)])
