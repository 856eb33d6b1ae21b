"""Every sampler's coefficient rows against the diffusers scheduler of the same name, in float64 on a toy model."""

import diffusers
import numpy as np
import pytest

from compare import diffusers_scheduler
from latentpress.errors import UsageError
from latentpress.runtime.sampling.samplers import BASES, SAMPLERS, parse_sampler
from latentpress.runtime.sampling.schedule import noise_schedule, schedule_for
from latentpress.runtime.sampling.solvers import INDEX, solver_table
from toy_runs import SD15, agree, running_timesteps


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_whole_run_is_the_diffusers_schedulers(sampler, prediction_type):
    for steps in (2, 5, 10, 20, 37, 50) if prediction_type == "epsilon" else (5, 37):
        agree(sampler, {**SD15, "prediction_type": prediction_type}, steps)


SPACED = [
    *(name for name, base in BASES.items() if base.spaced),
    "euler_karras",
    "dpmpp_2m_karras",
    "kdpm2_exponential",
]


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("sampler", SPACED)
def test_every_spacing_is_the_diffusers_schedulers(sampler, spacing):
    for steps in (7, 25):
        agree(f"{sampler}_{spacing}", SD15, steps)
        agree(sampler, {**SD15, "timestep_spacing": spacing}, steps)


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "pndm"])
def test_a_run_from_the_middle_is_the_diffusers_schedulers(sampler):
    order = parse_sampler(sampler).base.order
    for steps, step in ((12, 4), (20, 19), (30, 1)):
        agree(sampler, SD15, steps, start=step * order)


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_ddim_with_noise_is_the_diffusers_schedulers(eta):
    for steps in (5, 25):
        agree("ddim", SD15, steps, eta=eta)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("eta", [0.25, 0.5, 1.0])
def test_tcd_with_noise_is_the_diffusers_schedulers(eta, prediction_type):
    for steps in (1, 4, 8):
        agree("tcd", {**SD15, "prediction_type": prediction_type}, steps, eta=eta)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(
    "sampler", ["ddim", "ddpm", "lcm", "tcd", "euler", "euler_a", "dpmpp_2m", "dpmpp_2m_sde", "unipc", "euler_trailing"]
)
def test_zero_terminal_snr_is_the_diffusers_schedulers(sampler, prediction_type):
    config = {
        **SD15,
        "rescale_betas_zero_snr": True,
        "prediction_type": prediction_type,
        "timestep_spacing": "trailing",
    }
    base = parse_sampler(sampler)
    if base.base.name in ("ddim", "ddpm", "lcm", "tcd") and prediction_type == "epsilon":
        with pytest.raises(UsageError, match=r"leaves .* nothing to start from"):
            schedule_for(noise_schedule(config), base)
        return
    expected = diffusers_scheduler(sampler, config).alphas_cumprod
    found = schedule_for(noise_schedule(config), base).alphas_cumprod
    assert found[-1] == expected[-1]
    np.testing.assert_allclose(found, expected.double(), rtol=0, atol=5e-7)  # float32 rounding
    for steps in (6, 20):
        agree(sampler, config, steps)


@pytest.mark.parametrize("option", ["beta", "exponential"])
@pytest.mark.parametrize("base", ["dpmpp_2m", "dpmpp_2m_sde", "unipc", "deis"])
def test_timesteps_are_cut_off_as_diffusers_does_when_it_runs(base, option):
    """It begins at 998, where float64 would begin at 999."""
    sampler = f"{base}_{option}"
    for config in (SD15, {**SD15, "beta_schedule": "linear"}):
        for steps in (1, 2, 5, 20, 30, 50):
            found = solver_table(noise_schedule(config), sampler, steps).rows[:, INDEX["timestep"]]
            assert found.tolist() == running_timesteps(sampler, config, steps).tolist(), steps
    assert running_timesteps(sampler, SD15, 5)[0] == 998


def test_alpha_bar_is_that_of_diffusers():
    for config in (SD15, {**SD15, "beta_schedule": "linear"}, {"num_train_timesteps": 500}):
        expected = diffusers.DDIMScheduler.from_config(config).alphas_cumprod
        # A few roundings of float32: torch and numpy space their betas by other formulas.
        np.testing.assert_allclose(noise_schedule(config).alphas_cumprod, expected.double(), rtol=1e-6)


@pytest.mark.parametrize("sampler", [*BASES, "euler_karras", "dpmpp_2m_karras"])
@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
def test_the_initial_noise_is_scaled_as_in_diffusers(sampler, spacing):
    config = {**SD15, "timestep_spacing": spacing}
    scheduler = diffusers_scheduler(sampler, config)
    scheduler.set_timesteps(25)
    found = solver_table(noise_schedule(config), sampler, 25).init_noise_sigma
    assert found == pytest.approx(float(scheduler.init_noise_sigma), rel=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 3, 20])
def test_calls_are_counted(steps):
    noise = noise_schedule(SD15)
    for name, base in BASES.items():
        solver = solver_table(noise, name, steps)
        assert len(solver) == base.unet_calls(steps), name
        assert solver.steps == steps, name
        assert sum(solver.begins_step(call) for call in range(len(solver))) == steps, name


@pytest.mark.parametrize(
    ("sampler", "steps", "says"),
    [
        ("ddim", 1001, r"must lie in 1\.\.1000"),
        ("lcm", 51, r"lcm takes 1\.\.50"),
        ("euler", 0, r"must lie in 1\.\.1000"),
    ],
)
def test_steps_the_schedule_has_not_are_refused(sampler, steps, says):
    with pytest.raises(UsageError, match=says):
        solver_table(noise_schedule(SD15), sampler, steps)
