"""Loss guidance on schedules rescaled to zero terminal SNR: every sampler, spacing and sigma option lowers the loss.

A toy denoiser in place of the UNet: the exact one of Gaussian data, so that what a push does to the picture is known.
"""

from dataclasses import replace

import numpy as np
import pytest

from compare import diffusers_scheduler
from guidances import OneByOne
from latentpress.bundle.info import Bundle
from latentpress.runtime.guidance.step import STEPS
from latentpress.runtime.loop.denoise import denoise
from latentpress.runtime.loop.trajectory import Trajectory
from latentpress.runtime.prompts.conditioning import Conditioning
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import LossSpec, RenderRequest
from latentpress.runtime.rules import Scene, rules_of
from latentpress.runtime.sampling.noise import NoiseSource
from latentpress.runtime.sampling.samplers import BASES, SPACINGS, parse_sampler
from latentpress.runtime.sampling.schedule import noise_schedule, schedule_for
from latentpress.runtime.sampling.solvers import INDEX, solver_table

PLAIN = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
}
ZERO = {**PLAIN, "rescale_betas_zero_snr": True}
SAMPLERS = [
    f"{name}{sigmas}{spacing}"
    for name, base in BASES.items()
    for sigmas in ("", *(("_karras", "_exponential", "_beta") if base.sigmas else ()))
    for spacing in (("", *(f"_{one}" for one in SPACINGS)) if base.spaced and not sigmas else ("",))
]
# The highest sigma of Stable Diffusion's schedule before it is rescaled.
HIGHEST = 14.6146
MEAN, SPREAD, WANTED = 0.2, 0.6, 0.9


class Denoiser:
    """The best v-prediction for latents of independent values ~ N(MEAN, SPREAD^2)."""

    def __init__(self, noise):
        self.abar = noise.alphas_cumprod

    def run(self, inputs):
        sample, timestep = inputs["sample"].astype(np.float64), inputs["timestep"].astype(np.float64)
        sigmas = np.log(np.sqrt((1 - self.abar) / np.maximum(self.abar, 1e-30)))
        ratio = np.exp(np.interp(timestep, np.arange(len(sigmas)), sigmas))
        alpha = (1 / np.sqrt(1 + ratio**2)).reshape(-1, 1, 1, 1)
        sigma = np.sqrt(1 - alpha**2)
        x0 = MEAN + alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2) * (sample - alpha * MEAN)
        return {"noise_pred": (alpha * (sample - alpha * x0) / sigma - sigma * x0).astype(np.float32)}


class Towards(OneByOne):
    """The loss scale * mean((x0 - WANTED)^2) and its gradient."""

    def gradient(self, x0, losses, moment):
        pull = sum(loss.scale for loss in losses) * 2 * (x0 - WANTED) / x0.size
        return pull.astype(np.float32), tuple(distance(x0) for _ in losses)


def latents(sampler, config, loss=None, steps=30):
    request = RenderRequest("", 3, 64, 64, sampler, steps, 1.0, losses=() if loss is None else (loss,))
    noise = noise_schedule(config)
    solver, source = solver_table(noise, sampler, steps), NoiseSource(3)
    x = source.draw(4, 8, 8) * np.float32(solver.init_noise_sigma)
    nothing = Conditioning(np.zeros((1, 1), np.float32))
    one = Trajectory("only", request, solver, source, x, nothing, None)
    list(denoise([one], Denoiser(schedule_for(noise, parse_sampler(sampler))), Towards(), 2))
    return one.latents


def distance(x):
    return float(((x - WANTED) ** 2).mean())


# Those whose diffusers classes rescale the schedule; for the others it is the one it was.
RESCALED = ("ddim", "ddpm", "lcm", "tcd", "euler", "euler_a", "dpmpp_2m", "dpmpp_2m_sde", "unipc")


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if parse_sampler(name).base.name in RESCALED])
def test_a_loss_is_lowered_by_every_sampler_and_spacing(sampler):
    plain = distance(latents(sampler, ZERO))
    # Every fifth of 30 beta sigmas is above 100 or below 0.1: there a loss does next to nothing, up or down.
    bounds = {1: -1e-3, 5: 1e-6 if "beta" in sampler else -1e-4}
    for every, bound in bounds.items():
        assert distance(latents(sampler, ZERO, LossSpec("towards", 0.5, every, step="raw"))) - plain < bound, every


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("every", [1, 4])
def test_euler_is_pushed_as_ddim_is(every, step):
    """At the same timesteps they are one method, so that a loss has to move both the same way."""
    loss = LossSpec("towards", 2.0, every, step=step)
    euler, ddim, plain = (
        latents(sampler, ZERO, one, steps=20)
        for sampler, one in (("euler_trailing", loss), ("ddim_trailing", loss), ("ddim_trailing", None))
    )
    assert np.abs(ddim - plain).max() > 0.02
    np.testing.assert_allclose(euler, ddim, rtol=0, atol=1e-3)  # measured 5e-5


def levels(sampler, config, steps):
    """sigma / alpha of each call by diffusers' own scheduler."""
    scheduler = diffusers_scheduler(sampler, config, 3)
    scheduler.set_timesteps(steps)
    if sampler.split("_")[0] in ("ddim", "ddpm", "pndm", "lcm", "tcd"):
        abar = scheduler.alphas_cumprod[scheduler.timesteps].double().numpy()
        with np.errstate(divide="ignore"):
            return np.sqrt((1 - abar) / abar)
    return scheduler.sigmas.double().numpy()[: len(scheduler.timesteps)]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_push_falls_where_the_noise_passes_the_schedule_that_was_rescaled(sampler):
    solver = solver_table(noise_schedule(ZERO), sampler, 20)
    first = [call for call in range(len(solver)) if solver.begins_step(call)]
    sigma = levels(sampler, ZERO, 20)[first]
    alpha = solver.rows[first, INDEX["level_image"]]
    found = solver.rows[first, INDEX["nudge"]] / np.where(alpha > 0, alpha, 1.0)  # of x0
    expected = np.where(sigma > HIGHEST * 1.0001, HIGHEST**4 / sigma**2, sigma**2)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-9)
    # Over the latents' own level it is never more than without the rescaling.
    assert (found <= HIGHEST * 1.001 * np.maximum(sigma, 0)).all()


def test_other_schedules_push_as_they_did():
    for sampler in SAMPLERS:
        rows = solver_table(noise_schedule(PLAIN), sampler, 20).rows
        alpha, sigma = rows[:, INDEX["level_image"]], rows[:, INDEX["level_noise"]]
        begins = slice(None, None, BASES[parse_sampler(sampler).base.name].order)
        np.testing.assert_allclose(rows[begins, INDEX["nudge"]], (sigma**2 / alpha)[begins], rtol=1e-12)


@pytest.fixture(scope="module")
def zero(exported):
    bundle = exported("sd2").bundle
    scheduler = {**bundle.info.scheduler, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return Bundle(bundle.path, bundle.info.model_copy(update={"scheduler": scheduler}), bundle.hash)


def asked(sampler, loss=None, **changes):
    given = {"steps": 12, "guidance_scale": 5.0, "losses": () if loss is None else (loss,), **changes}
    return RenderRequest("a red mouse", 3, 64, 64, sampler, negative_prompt="", **given)


BLUE = LossSpec("channel", 20.0, 5, params={"channel": "blue", "target": 0.9})


def test_real_pictures_become_bluer(zero):
    samplers = ("euler", "dpmpp_2m", "unipc", "euler_a", "ddim")
    work = [((name, bool(loss)), asked(name, loss)) for name in samplers for loss in (None, BLUE)]
    found = {one.key: np.abs(one.image[..., 2] / 255 - 0.9).mean() for one in Renderer(zero).render(work)}
    for name in samplers:
        assert found[name, True] < found[name, False], name


def test_the_rule_touches_just_the_jobs_that_are_pushed_otherwise(zero, exported):
    scene = Scene(zero.info, {})

    def touched(request, scene=scene):
        return "loss-at-zero-snr" in [rule.name for rule in rules_of(request, scene)]

    for sampler in ("euler", "euler_a", "dpmpp_2m", "dpmpp_2m_sde", "unipc", "euler_karras", "dpmpp_2m_beta"):
        assert touched(asked(sampler, BLUE))
        assert not touched(asked(sampler))
        assert not touched(asked(sampler, BLUE), Scene(exported("sd2").bundle.info, {}))
        assert not touched(asked(f"{sampler.split('_karras')[0].split('_beta')[0]}_trailing", replace(BLUE, start=0.4)))
    # At alpha = 0 nothing was ever pushed; the step after it is at sigma 24, above the 14.6 there were.
    assert not touched(asked("ddim", BLUE))
    assert touched(asked("ddim", replace(BLUE, every=1)))
    # diffusers does not rescale these classes' schedules.
    for sampler in ("heun", "lms", "kdpm2", "dpmpp_sde", "deis", "pndm"):
        assert not touched(asked(sampler, BLUE))
    # Leading steps begin below it.
    assert not touched(asked("euler_leading", BLUE, steps=5))
