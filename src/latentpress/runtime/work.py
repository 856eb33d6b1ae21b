"""What a picture asks of the engines, counted before one is opened: UNet rows call by call, gradients, a given picture."""

from collections.abc import Mapping
from dataclasses import dataclass

from latentpress.bundle.info import BundleInfo
from latentpress.runtime.guidance.step import gradients_of
from latentpress.runtime.request import RenderRequest
from latentpress.runtime.sampling.schedule import noise_schedule
from latentpress.runtime.sampling.solvers import SolverCache
from latentpress.runtime.sampling.steps import Part, parts_of


@dataclass(frozen=True)
class Work:
    """What one picture takes.

    rows: of each UNet call in turn, 2 with classifier-free guidance; refined: of each call of the refiner's UNet;
    gradients: how many are taken of losses; read: whether a given picture is encoded.
    """

    rows: tuple[int, ...]
    refined: tuple[int, ...] = ()
    gradients: int = 0
    read: bool = False


def plain_work(request: RenderRequest) -> Work:
    """The work of a request whose sampler calls the UNet once a step: for who has no bundle."""
    guided = request.guided_steps(request.steps)
    return Work((2,) * guided + (1,) * (request.steps - guided))


class Workload:
    """Counts the work of requests on the bundle of `info`, and on the refiners (bundle hash -> info) that they name."""

    def __init__(self, info: BundleInfo, refiners: Mapping[str, BundleInfo]) -> None:
        self._base = _Counted(info)
        self._refiners = {digest: _Counted(other) for digest, other in refiners.items()}

    def of(self, request: RenderRequest) -> Work:
        """The work of `request`, which the bundle can render (runtime/limits.py)."""
        refiner = self._refiners[request.refiner.sha256] if request.refiner else None
        parts, total = parts_of(request, self._base.solvers, refiner.solvers if refiner else None)
        counted = [
            one.rows(part, request, total) for one, part in zip((self._base, refiner), parts, strict=False) if one
        ]
        gradients = sum(gradients_of(losses) for part in parts for _, losses in part.acts(request, total))
        return Work(counted[0], counted[1] if len(counted) > 1 else (), gradients, request.init_image is not None)


class _Counted:
    """One bundle's solvers, and whether its UNet takes the guidance scale as an input and so has one row a picture."""

    def __init__(self, info: BundleInfo) -> None:
        self.solvers = SolverCache(noise_schedule(info.scheduler))
        self._distilled = info.guidance_embedding is not None

    def rows(self, part: Part, request: RenderRequest, total: int) -> tuple[int, ...]:
        return tuple(2 if guided and not self._distilled else 1 for guided, _ in part.acts(request, total))
