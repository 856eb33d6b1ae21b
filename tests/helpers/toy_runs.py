"""Whole runs of a sampler on a toy model in float64: by our rows, and by the diffusers scheduler of the same name."""

import numpy as np
import torch

from compare import diffusers_scheduler, in_float64
from latentpress.runtime.sampling.brownian import BrownianPath
from latentpress.runtime.sampling.schedule import NoiseSchedule
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


def set_timesteps(scheduler, steps, given):
    """As diffusers' pipelines: by their number, or as they are `given`."""
    if given:
        scheduler.set_timesteps(timesteps=list(given))
    else:
        scheduler.set_timesteps(steps)


def running_timesteps(sampler, config, steps, given=()):
    """The whole timesteps of diffusers as it runs, in float32: what it cuts off there is not what float64 would."""
    scheduler = diffusers_scheduler(sampler, config, SEED)
    set_timesteps(scheduler, steps, given)
    return None if torch.is_floating_point(scheduler.timesteps) else scheduler.timesteps


def run_diffusers(sampler, config, steps, start=0, given=(), **options):
    """(timesteps, levels, latents after each call) of the diffusers scheduler; `start` as image-to-image begins."""
    whole = running_timesteps(sampler, config, steps, given)
    with in_float64(diffusers_scheduler(sampler, config, SEED), drawn()) as scheduler:
        set_timesteps(scheduler, steps, given)
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


def agree(sampler, config, steps, start=0, given=(), **options):
    """Every latent of the run is diffusers'. given: timesteps, in place of the sampler's own."""
    if sampler == "tcd":  # its step has another default, which pipelines overrule
        options = {"eta": 0.0, **options}
    timesteps, expected = run_diffusers(sampler, config, steps, start, given, **options)
    # diffusers' own alpha-bars: one float32 rounding beside them already moves the Brownian path's times of 1e-6.
    abar = diffusers_scheduler(sampler, config).alphas_cumprod.double().numpy()
    config = {key: value for key, value in config.items() if key != "rescale_betas_zero_snr"}
    noise = NoiseSchedule(abar, config.get("prediction_type", "epsilon"), config)
    solver = solver_table(noise, sampler, steps, start=start, timesteps=given, **options)
    np.testing.assert_allclose(solver.rows[:, INDEX["timestep"]], timesteps.double(), rtol=TOLERANCE, atol=TOLERANCE)
    found = run_rows(solver, start)
    assert len(found) == len(expected)
    for call, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        error = float((ours - theirs).abs().max() / theirs.abs().max())
        assert error < TOLERANCE, f"{steps} steps, after call {call}: {error:.1e}"
