"""What a bundle cannot do for a request, in words, before anything is rendered. Loads neither torch nor an engine."""

import math
from collections.abc import Mapping

from latentpress.bundle.info import BundleInfo
from latentpress.errors import UsageError
from latentpress.runtime.request import RenderRequest, first_step
from latentpress.runtime.sampling.samplers import parse_sampler
from latentpress.runtime.sampling.schedule import check_given, noise_schedule
from latentpress.runtime.sampling.solvers import SolverCache, switch_call
from latentpress.runtime.sampling.steps import table_of

# A refused field, by its name in RenderRequest, and why.
Refusal = tuple[str, str]
# The same of a field that is not refused and does not do what it does elsewhere.
Note = tuple[str, str]
# Samplers that few steps of a distilled model are meant for.
_DISTILLED = ("lcm", "tcd")


class Limits:
    """The limits of a bundle and of the refiners (bundle hash -> info) that requests may name."""

    def __init__(self, info: BundleInfo, refiners: Mapping[str, BundleInfo]) -> None:
        self._info = info
        self._solvers = SolverCache(noise_schedule(info.scheduler))
        self._refiners = {
            digest: (other, SolverCache(noise_schedule(other.scheduler))) for digest, other in refiners.items()
        }

    def refusal(self, request: RenderRequest) -> Refusal | None:
        """The first field of `request` that cannot be had and the reason; None if all can."""
        return (
            self._clip_skip(request)
            or self._given(request)
            or self._eta(request)
            or self._timesteps(request)
            or self._steps(request)
            or self._refiner(request)
        )

    def notes(self, request: RenderRequest) -> list[Note]:
        """The fields of `request` that a bundle distilled with guidance (LCM) has no use for, or not this one."""
        if self._info.guidance_embedding is None:
            return []
        found: list[Note] = []
        if (sampler := parse_sampler(request.sampler).base.name) not in _DISTILLED:
            found.append(
                (
                    "sampler",
                    f"the sampler is {sampler}, and bundle {self._info.name} is distilled for few steps (LCM): "
                    "use lcm or tcd, with 4 to 8 steps",
                )
            )
        without = {
            "negative_prompt": bool(request.negative_prompt),
            "guidance_stop": request.guidance_stop < 1,
            "guidance_rescale": request.guidance_rescale > 0,
        }
        # A refiner is no distilled model: it takes them.
        names = [name for name, given in without.items() if given and request.refiner is None]
        why = f"has no effect on bundle {self._info.name}, which is distilled with its guidance (LCM): leave it out"
        return found + [(name, f"{name} {why}") for name in names]

    def _clip_skip(self, request: RenderRequest) -> Refusal | None:
        infos = [self._info, *([self._refiners[request.refiner.sha256][0]] if request.refiner else [])]
        most = min(encoder.layers for info in infos for encoder in info.text_encoders) - 1
        if request.clip_skip > most:
            why = f"clip_skip is {request.clip_skip}; this bundle's text encoders can leave out at most {most} layers"
            return "clip_skip", why
        return None

    def _given(self, request: RenderRequest) -> Refusal | None:
        image, mask = request.init_image, request.mask_image
        if mask is not None and image is None:
            return "mask_image", "mask_image is given without init_image; name the picture that the mask lies on"
        if self._info.inpainting and mask is None:
            return "mask_image", (
                f"bundle {self._info.name} is an inpainting model and needs init_image and mask_image; "
                "give both (a white mask redraws the whole picture), or use a bundle of the plain model"
            )
        if self._info.requires_aesthetics_score and image is None:
            return "model", (
                f"bundle {self._info.name} is an SDXL refiner, which continues pictures; give an init_image, "
                "or make it the `refiner` of an SDXL bundle"
            )
        return None

    def _eta(self, request: RenderRequest) -> Refusal | None:
        base = parse_sampler(request.sampler).base.name
        if request.eta and base not in ("ddim", "tcd"):
            return "eta", f"eta is {request.eta:g}; only ddim and tcd take it, and the sampler is {base}: leave eta out"
        return None

    def _timesteps(self, request: RenderRequest) -> Refusal | None:
        count = len(request.timesteps)
        if count == 0:
            return None
        if count != request.steps:
            return (
                "steps",
                f"steps is {request.steps}, and {count} timesteps are given; leave steps out, or set it to {count}",
            )
        run_by = [self._solvers, *([self._refiners[request.refiner.sha256][1]] if request.refiner else [])]
        try:
            for solvers in run_by:
                check_given(parse_sampler(request.sampler), request.timesteps, len(solvers.noise.alphas_cumprod))
        except UsageError as error:
            return "timesteps", str(error)
        return None

    def _steps(self, request: RenderRequest) -> Refusal | None:
        try:
            table_of(request, self._solvers)
        except UsageError as error:
            return "steps", str(error)
        if first_step(request) == request.steps:
            return "strength", (
                f"strength {request.strength:g} of {request.steps} steps leaves none to run; "
                f"it must be at least {math.ceil(1000 / request.steps) / 1000:g}, or the steps more"
            )
        return None

    def _refiner(self, request: RenderRequest) -> Refusal | None:
        if request.refiner is None:
            return None
        other, solvers = self._refiners[request.refiner.sha256]
        # SDXL's refiners are the models with time ids and a score among them.
        if self._info.added_conditioning is None or self._info.requires_aesthetics_score:
            return "refiner", (
                f"bundle {self._info.name} is of family {self._info.family}, and a refiner continues SDXL's pictures; "
                "leave refiner out, or use an SDXL bundle"
            )
        if other.added_conditioning is None or other.inpainting:
            return "refiner", (
                f"bundle {other.name} is of family {other.family} with {other.unet_in_channels} channels; "
                "a refiner must be SDXL's, with 4"
            )
        if request.mask_image is not None:
            return "refiner", "refiner and mask_image cannot be used together; render with one, then with the other"
        return self._switch(request, request.refiner.switch_at, solvers)

    def _switch(self, request: RenderRequest, switch_at: float, solvers: SolverCache) -> Refusal | None:
        first, whole, refined = first_step(request), table_of(request, self._solvers), table_of(request, solvers)
        if switch_call(whole, self._solvers, switch_at) <= first * whole.order:
            return "refiner", (
                f"switch_at {switch_at:g} leaves the base none of the {request.steps - first} steps; "
                "raise switch_at, or use the refiner alone as the model"
            )
        if switch_call(refined, solvers, switch_at) == len(refined):
            return "refiner", (
                f"switch_at {switch_at:g} leaves the refiner none of {request.steps} steps; lower switch_at, "
                "or leave refiner out"
            )
        return None
