"""Every sampler's coefficient rows against the diffusers scheduler of the same name, on a toy model."""

import diffusers
import numpy as np
import pytest
import torch

from compare import diffusers_scheduler
from latentpress.errors import UsageError
from latentpress.runtime.schedule import SAMPLERS, canonical_sampler, noise_schedule
from latentpress.runtime.solver import INDEX, solver_rows

SD15 = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "clip_sample": False,
}


def toy_model(latents, timestep):
    """Smooth, nonlinear, and different at each timestep: a wrong timestep or scale shows."""
    return torch.tanh(1.3 * latents + 0.2 * torch.sin(torch.as_tensor(timestep) / 90.0))


def run_diffusers(scheduler, steps, noise, draws):
    scheduler.set_timesteps(steps)
    latents = noise * scheduler.init_noise_sigma
    for step, timestep in enumerate(scheduler.timesteps):
        out = toy_model(scheduler.scale_model_input(latents, timestep), timestep.double())
        if isinstance(scheduler, diffusers.EulerAncestralDiscreteScheduler):
            # Its noise comes from a generator in the model output's dtype; the same seed gives our draws.
            generator = torch.Generator().manual_seed(step)
            latents = scheduler.step(out, timestep, latents, generator=generator).prev_sample
        else:
            latents = scheduler.step(out, timestep, latents).prev_sample
        latents = latents.double()
    return latents


def run_rows(solver, noise, draws):
    x, history = noise * solver.init_noise_sigma, []
    for step, row in enumerate(solver.rows):
        v = {name: row[i] for name, i in INDEX.items()}
        out = toy_model(v["in_scale"] * x, v["timestep"])
        eps = v["eps_x"] * x + v["eps_out"] * out
        history.insert(0, v["keep_x"] * x + v["keep_eps"] * eps)
        del history[4:]
        x = v["a"] * x + sum(v[f"b{j}"] * m for j, m in enumerate(history)) + v["c"] * draws[step]
    return x


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("steps", [10, 25, 50])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_rows_follow_the_diffusers_scheduler(sampler, steps, prediction_type):
    config = {**SD15, "prediction_type": prediction_type}
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    draws = [
        torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        for step in range(steps)
    ]
    expected = run_diffusers(diffusers_scheduler(sampler, config), steps, noise, draws)
    found = run_rows(solver_rows(noise_schedule(config), sampler, steps), noise, draws)
    # diffusers keeps sigmas in float32, casts samples to it inside `step`, and integrates LMS to 1e-4.
    tolerance = 2e-3 if sampler.startswith("lms") else 2e-5
    error = (found - expected).abs().max() / expected.abs().max()
    assert error < tolerance, f"relative error {error:.2e}"


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_timesteps_and_sigmas_follow_each_spacing(sampler, spacing):
    config = {**SD15, "timestep_spacing": spacing}
    scheduler = diffusers_scheduler(sampler, config)
    scheduler.set_timesteps(25)
    solver = solver_rows(noise_schedule(config), sampler, 25)
    np.testing.assert_allclose(solver.rows[:, INDEX["timestep"]], scheduler.timesteps.double(), rtol=1e-5, atol=1e-2)
    assert solver.init_noise_sigma == pytest.approx(float(scheduler.init_noise_sigma), rel=1e-5)


def test_names_people_type():
    assert canonical_sampler("DPM++ 2M Karras") == "dpmpp_2m_karras"
    assert canonical_sampler("k_lms") == "lms"
    assert canonical_sampler("Euler a") == "euler_a"
    with pytest.raises(UsageError, match="did you mean 'euler'"):
        canonical_sampler("eulr")


def test_more_steps_than_the_schedule_has_is_refused():
    with pytest.raises(UsageError, match=r"must lie in 1\.\.1000"):
        solver_rows(noise_schedule(SD15), "ddim", 1001)
