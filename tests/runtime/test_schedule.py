"""Every sampler's coefficient rows against the diffusers scheduler of the same name, in float64 on a toy model."""

import diffusers
import numpy as np
import pytest
import torch

from compare import diffusers_scheduler, in_float64
from latentpress.errors import UsageError
from latentpress.runtime.sampling.brownian import BrownianPath
from latentpress.runtime.sampling.samplers import BASES, SAMPLERS, parse_sampler
from latentpress.runtime.sampling.schedule import NoiseSchedule, noise_schedule, schedule_for
from latentpress.runtime.sampling.solvers import DEPTH, INDEX, solver_table

SD15 = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "clip_sample": False,
}
SEED, SHAPE = 11, (1, 4, 8, 8)
# Of the largest value. Everything is computed in float64 on both sides, from the same float32 alpha-bars.
TOLERANCE = 1e-6


def toy_model(latents, timestep):
    """Smooth, nonlinear, and different at each timestep: a wrong timestep or scale shows."""
    return torch.tanh(1.3 * latents + 0.2 * torch.sin(torch.as_tensor(timestep, dtype=torch.float64) / 90.0))


def unit(seed):
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn():
    """Draw after draw: the same numbers for both sides, as often as each asks."""
    yield from (unit(1000 + count) for count in range(10**6))


def running_timesteps(sampler, config, steps):
    """The whole timesteps of diffusers as it runs, in float32: what it cuts off there is not what float64 would."""
    scheduler = diffusers_scheduler(sampler, config, SEED)
    scheduler.set_timesteps(steps)
    return None if torch.is_floating_point(scheduler.timesteps) else scheduler.timesteps


def run_diffusers(sampler, config, steps, start=0, **options):
    """(timesteps, levels, latents after each call) of the diffusers scheduler; `start` as image-to-image begins."""
    whole = running_timesteps(sampler, config, steps)
    with in_float64(diffusers_scheduler(sampler, config, SEED), drawn()) as scheduler:
        scheduler.set_timesteps(steps)
        assert not torch.is_floating_point(scheduler.timesteps) or scheduler.timesteps.dtype == torch.float64
        scheduler.timesteps = scheduler.timesteps if whole is None else whole
        timesteps = scheduler.timesteps[start:]
        # Said here, because the scheduler cannot find it by a timestep that comes twice.
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(start)
        noise = unit(1)
        latents = scheduler.add_noise(unit(2), noise, timesteps[:1]) if start else noise * scheduler.init_noise_sigma
        trajectory = [latents]
        for timestep in timesteps:
            out = toy_model(scheduler.scale_model_input(latents, timestep), timestep)
            latents = scheduler.step(out, timestep, latents, **options).prev_sample
            assert latents.dtype == torch.float64
            trajectory.append(latents)
    return timesteps, trajectory


def run_rows(solver, start=0):
    """The latents before the first call and after each, by the equations in `solvers`."""
    first = {name: solver.rows[0][i] for name, i in INDEX.items()}
    x = unit(1) * solver.init_noise_sigma
    if start:
        x = first["level_image"] * unit(2) + first["level_noise"] * unit(1)
    anchor, memory, draws = torch.zeros_like(x), [torch.zeros_like(x)] * DEPTH, drawn()
    path = BrownianPath(SEED, SHAPE, *solver.sigma_range, dtype=np.float64) if any(solver.sigma_range) else None
    trajectory = [x]
    for row in solver.rows:
        at = {name: row[i] for name, i in INDEX.items()}
        out = toy_model(at["in_scale"] * x, at["timestep"])
        memory = [at["keep_x"] * x + at["keep_out"] * out, *memory[:-1]]
        noise = next(draws) if at["draw"] else torch.zeros_like(x)
        if at["path_from"] != at["path_to"]:
            noise = torch.from_numpy(path.increment(at["path_from"], at["path_to"]))
        sources = {"x": x, "anchor": anchor, **{f"m{j}": m for j, m in enumerate(memory)}}
        x = sum(at[f"next_{name}"] * value for name, value in sources.items()) + at["next_noise"] * noise
        anchor = sum(at[f"anchor_{name}"] * value for name, value in sources.items())
        trajectory.append(x)
    return trajectory


def agree(sampler, config, steps, start=0, **options):
    if sampler == "tcd":  # its step has another default, which pipelines overrule
        options = {"eta": 0.0, **options}
    timesteps, expected = run_diffusers(sampler, config, steps, start, **options)
    # diffusers' own alpha-bars: one float32 rounding beside them already moves the Brownian path's times of 1e-6.
    abar = diffusers_scheduler(sampler, config).alphas_cumprod.double().numpy()
    config = {key: value for key, value in config.items() if key != "rescale_betas_zero_snr"}
    noise = NoiseSchedule(abar, config.get("prediction_type", "epsilon"), config)
    solver = solver_table(noise, sampler, steps, start=start, **options)
    np.testing.assert_allclose(solver.rows[:, INDEX["timestep"]], timesteps.double(), rtol=TOLERANCE, atol=TOLERANCE)
    found = run_rows(solver, start)
    assert len(found) == len(expected)
    for call, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        error = float((ours - theirs).abs().max() / theirs.abs().max())
        assert error < TOLERANCE, f"{steps} steps, after call {call}: {error:.1e}"


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
