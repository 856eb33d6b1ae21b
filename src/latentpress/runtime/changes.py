"""Which requests a change of how pictures are drawn touched: what the rules in `runtime.rules` ask. Opens no engine."""

from dataclasses import replace

import numpy as np

from latentpress.runtime.request import RenderRequest, first_step
from latentpress.runtime.sampling.samplers import parse_sampler
from latentpress.runtime.sampling.schedule import discretize, schedule_for, timestep_of
from latentpress.runtime.sampling.solvers import INDEX, SolverCache
from latentpress.runtime.sampling.steps import parts_of


def pushed_otherwise(request: RenderRequest, base: SolverCache, refiner: SolverCache | None) -> bool:
    """Whether a loss acts where its push was sigma^2 and is less now (`columns.weaken`): on zero terminal SNR."""
    if not request.losses or not any(
        cache and cache.noise.config.get("rescale_betas_zero_snr") for cache in (base, refiner)
    ):
        return False
    parts, total = parts_of(request, base, refiner)
    for part, cache in zip(parts, (base, refiner), strict=False):
        assert cache is not None, "a part is some model's"
        limit = schedule_for(cache.noise, parse_sampler(request.sampler)).loss_sigma
        alpha, sigma = (part.table.rows[:, INDEX[name]] for name in ("level_image", "level_noise"))
        weaker = (alpha > 0) & (alpha * limit < sigma)
        if any(weaker[call] and losses for call, (_, losses) in enumerate(part.acts(request, total))):
            return True
    return False


def moved_otherwise(request: RenderRequest, base: SolverCache, refiner: SolverCache | None) -> bool:
    """Whether a loss acts that names no step: it moved x0 by sigma^2 times its gradient, however far that was."""
    if all(loss.step for loss in request.losses):
        return False
    parts, total = parts_of(request, base, refiner)
    return any(not loss.step for part in parts for _, losses in part.acts(request, total) for loss in losses)


def counted_otherwise(request: RenderRequest, base: SolverCache, refiner: SolverCache | None) -> bool:
    """Whether guidance or losses acted in other calls before a refiner counted its steps by the whole run's.

    It began with the number of steps that the base had begun, and the picture's steps were those without a refiner.
    """
    if request.refiner is None or not (request.losses or request.guidance_scale > 1):
        return False
    parts, total = parts_of(request, base, refiner)
    before = [parts[0], replace(parts[1], first=parts[0].table.steps)]
    steps = request.steps - first_step(request)
    return [part.acts(request, total) for part in parts] != [part.acts(request, steps) for part in before]


def cropped_otherwise(
    request: RenderRequest, scored: tuple[bool, bool], base: SolverCache, refiner: SolverCache | None
) -> bool:
    """Whether a model told aesthetic scores was told the prompt's crop with the negative prompt, and is told (0, 0) now.

    scored: whether the bundle, and the request's refiner, has requires_aesthetics_score.
    """
    micro = request.micro
    if micro.crop_top_left == (0, 0) or micro.negative_crop_top_left is not None or not any(scored):
        return False
    parts, total = parts_of(request, base, refiner)
    return any(
        told and any(guided for guided, _ in part.acts(request, total))
        for told, part in zip(scored, parts, strict=False)
    )


def timed_otherwise(request: RenderRequest, base: SolverCache, refiner: SolverCache | None) -> bool:
    """Whether a call's timestep was another before the DPM-Solver family cut them off as diffusers does, in float32."""
    sampler = parse_sampler(request.sampler)
    if sampler.base.name not in ("dpmpp_2m", "dpmpp_2m_sde", "unipc", "deis") or sampler.sigmas in (None, "karras"):
        return False
    parts, _ = parts_of(request, base, refiner)
    for part, cache in zip(parts, (base, refiner), strict=False):
        assert cache is not None, "a part is some model's"
        noise = schedule_for(cache.noise, sampler)
        grid = discretize(noise, sampler, request.steps, request.timesteps)
        before = np.trunc(timestep_of(noise, grid.sigmas[:-1]))
        if (before != grid.timesteps)[part.table.start : part.table.start + len(part.table)].any():
            return True
    return False
