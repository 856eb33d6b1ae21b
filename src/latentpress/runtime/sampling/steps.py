"""What counts a picture's steps: which losses act in one, and where a refiner goes on counting. Knows no latents."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from latentpress.runtime.request import LossSpec, RenderRequest, first_step
from latentpress.runtime.sampling.solvers import SolverCache, SolverTable, refiner_call, switch_call


def acting(losses: Sequence[LossSpec], step: int, total: int) -> tuple[LossSpec, ...]:
    """The losses that act in step `step` of a picture's `total`, as strong as they are there."""
    found = (loss for loss in losses if acts(loss, step, total))
    return tuple(_risen(loss, step, total) if loss.warm_up else loss for loss in found)


def acts(loss: LossSpec, step: int, total: int) -> bool:
    """Whether `loss` acts in step `step` of a picture's `total`."""
    return step % loss.every == 0 and loss.start * total <= step < loss.stop * total


def _risen(loss: LossSpec, step: int, total: int) -> LossSpec:
    """`loss` as strong as it is in this step of its warm-up: it rises by equal parts, to the full in the last of them."""
    share = min(1.0, (step + 1 - loss.start * total) / (loss.warm_up * total))
    return replace(loss, scale=loss.scale * share, size=loss.size * share)


def table_of(request: RenderRequest, solvers: SolverCache, start: int = 0) -> SolverTable:
    """The rows of the request's sampler, from the call `start` on, on the model of `solvers`."""
    return solvers.table(request.sampler, request.steps, start=start, eta=request.eta, timesteps=request.timesteps)


def refiner_steps(request: RenderRequest, solvers: SolverCache) -> tuple[int, SolverTable]:
    """The number of the step that the request's refiner begins at, among the picture's, and the refiner's table.

    The picture's steps are numbered as without a refiner: where the base ends inside a two-call step, the refiner repeats
    that step, under its number.
    """
    assert request.refiner is not None, "only a request with a refiner is handed over"
    whole = table_of(request, solvers)
    start = refiner_call(whole, solvers, request.refiner.switch_at)
    first = int(whole.step_of[start]) - first_step(request) if start < len(whole) else 0
    return first, table_of(request, solvers, start)


@dataclass(frozen=True)
class Part:
    """What one model runs of a picture: `table`, its first step's number, and the steps that were begun before it."""

    table: SolverTable
    first: int = 0
    begun: int = 0

    def acts(self, request: RenderRequest, total: int) -> list[tuple[bool, tuple[LossSpec, ...]]]:
        """Of each call, whether it is guided, and by which losses, in a picture of `total` steps."""
        guided = request.guided_steps(total)
        found: list[tuple[bool, tuple[LossSpec, ...]]] = []
        for call, step in enumerate(self.table.step_of):
            number = self.first + int(step)
            begins = number >= self.begun and self.table.begins_step(call)
            found.append((number < guided, acting(request.losses, number, total) if begins else ()))
        return found


def parts_of(request: RenderRequest, base: SolverCache, refiner: SolverCache | None) -> tuple[list[Part], int]:
    """What runs of the request's picture, by the base and by the refiner, if there is one, and the picture's steps."""
    start, whole = first_step(request), table_of(request, base)
    table = table_of(request, base, start * whole.order)
    if request.refiner is None or refiner is None:
        return [Part(table)], table.steps
    first, refined = refiner_steps(request, base)
    total = first + refined.steps
    table = table.until_call(switch_call(whole, base, request.refiner.switch_at))
    first, refined = refiner_steps(request, refiner)
    return [Part(table), Part(refined, first, table.steps)], total
