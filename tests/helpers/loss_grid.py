"""The grid of loss guidance on the demo model: losses x scales x samplers x every x seeds, and what came of each picture."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.context import Moment
from latentpress.runtime.request import LossSpec, RenderRequest

PROMPTS = (
    "a red heart in the style of flat",
    "an owl in the style of noto",
    "a yellow automobile in the style of flat",
    "a blue kite in the style of noto",
)


@dataclass(frozen=True)
class Cell:
    """One picture of the grid; its seed chooses its prompt too."""

    loss: str
    scale: float
    sampler: str
    every: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What came of one, beside its twin without a loss.

    before, after: the loss of the twin and of the picture; share: how far losses moved x0 at most, as a share of |x0|;
    clipped: the share of channel values at 0 or 255, less the twin's; rough: the mean difference of neighbours, over the
    twin's; distance: root mean square, of values 0..1.
    """

    before: float
    after: float
    share: float
    clipped: float
    rough: float
    distance: float

    @property
    def change(self) -> float:
        """The loss's change over its size without guidance; below 0 is right."""
        return (self.after - self.before) / abs(self.before)


def request(cell: Cell, steps: int, losses: tuple[LossSpec, ...] = ()) -> RenderRequest:
    """The picture of a cell."""
    prompt = PROMPTS[cell.seed % len(PROMPTS)]
    return RenderRequest(prompt, cell.seed, 64, 64, cell.sampler, steps, 7.5, negative_prompt="", losses=losses)


def grid(renderer, cells: Iterable[Cell], steps: int = 20, **step) -> Mapping[Cell, Outcome]:
    """What comes of every cell. step: further fields of `LossSpec`."""
    from latentpress.runtime.guidance.gradient import picture_losses

    specs = {
        cell: LossSpec(cell.loss, cell.scale, cell.every, params=LOSSES[cell.loss].params().model_dump(), **step)
        for cell in cells
    }
    twins = {(cell.sampler, cell.seed): request(cell, steps) for cell in specs}
    work = [*twins.items(), *((cell, request(cell, steps, (spec,))) for cell, spec in specs.items())]
    made = {one.key: one for one in renderer.render(work)}
    found: dict[Cell, Outcome] = {}
    for cell, spec in specs.items():
        guided, twin = made[cell], made[cell.sampler, cell.seed].image
        assert guided.image is not None, guided.error
        unit, nothing = (np.moveaxis(twin, -1, 0) / 255).astype(np.float32), np.zeros((4, 8, 8), np.float32)
        ((_, before),) = picture_losses(unit, nothing, [spec], Moment(cell.seed, steps, steps))
        share = max(one.share for one in guided.guided)
        found[cell] = Outcome(
            before,
            guided.losses[0][1],
            share,
            _clipped(guided.image) - _clipped(twin),
            _roughness(guided.image) / _roughness(twin),
            float(np.sqrt(np.mean((guided.image / 255 - twin / 255) ** 2))),
        )
    return found


def cells(
    losses: Sequence[str], scales: Sequence[float], samplers: Sequence[str], every: Sequence[int], seeds: Sequence[int]
) -> list[Cell]:
    """Each of them with each other."""
    return [Cell(*values) for values in product(losses, scales, samplers, every, seeds)]


def table(found: Mapping[Cell, Outcome], by: Sequence[str]) -> Iterable[str]:
    """A line for each group of cells that are alike in the attributes `by`."""
    groups: dict[tuple[object, ...], list[Outcome]] = {}
    for cell, outcome in found.items():
        groups.setdefault(tuple(getattr(cell, name) for name in by), []).append(outcome)
    for key, outcomes in groups.items():
        changes = [outcome.change for outcome in outcomes]
        yield (
            f"{' '.join(map(str, key)):28} n={len(outcomes):3} right={np.mean(np.array(changes) < 0):.2f} "
            f"change={np.median(changes):+.4f} worst={max(changes):+.4f} share={np.median([o.share for o in outcomes]):.3f} "
            f"clipped={max(o.clipped for o in outcomes):+.2f} rough={max(o.rough for o in outcomes):.2f} "
            f"distance={np.median([o.distance for o in outcomes]):.2f}/{max(o.distance for o in outcomes):.2f}"
        )


def _clipped(image) -> float:
    return float(((image == 0) | (image == 255)).mean())


def _roughness(image) -> float:
    values = image.astype(float)
    return float(np.abs(np.diff(values, axis=0)).mean() + np.abs(np.diff(values, axis=1)).mean())
