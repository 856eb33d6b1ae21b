"""How losses move the images of one turn: their gradients are taken together, and one whose loss fails fails alone."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import numpy as np

from latentpress.runtime.guidance.context import Ask, Gradient
from latentpress.runtime.guidance.step import Moves, sharing
from latentpress.runtime.loop.failure import Failure, failure_of
from latentpress.runtime.loop.overseer import Overseer
from latentpress.runtime.loop.trajectory import Latents, Trajectory
from latentpress.runtime.request import K, LossSpec

# The solver's columns for one call: name -> (n, 1, 1, 1) float32.
Columns = Mapping[str, Latents]


class Guidance(Protocol):
    """What guides by losses (guidance/gradient.py); it is loaded, and torch with it, where a picture has one."""

    def gradients(
        self, asks: Sequence[Ask], begins: Callable[[Sequence[int]], None] = ...
    ) -> Sequence[Gradient | Exception]:
        """The gradient that each of `asks` is after, or what was raised for it; `begins` hears which are at work next."""
        ...


def guide(
    active: Sequence[Trajectory[K]], x0: Latents, at: Columns, guidance: Guidance | None, overseer: Overseer
) -> tuple[Latents, Latents, list[tuple[Trajectory[K], Failure]]]:
    """How losses move each trajectory's x in this call, what of it its history is told, and those whose losses failed."""
    assert guidance is not None, "a trajectory with losses was queued without guidance"
    move, told = np.zeros_like(x0), np.zeros_like(x0)
    failed: list[tuple[Trajectory[K], Failure]] = []
    guided = [(trajectory, x0[index], index) for index, trajectory in enumerate(active) if trajectory.losses_now()]
    taken = _Taken(guidance, overseer)
    # The mean around x0 asks at other points, and never at x0 itself.
    first = [
        (one, found, losses)
        for one, found, _ in guided
        for rule, losses in sharing(one.losses_now()).items()
        if not rule.samples
    ]
    if first:
        taken.together(first)
    for trajectory, found, index in guided:
        row = {name: np.float32(values[index].item()) for name, values in at.items()}
        try:
            gradient, seed = partial(taken.gradient, trajectory), trajectory.moment.sample_seed
            moves = Moves(found, row, trajectory.losses_now(), gradient, seed)
        except Exception as error:
            failed.append((trajectory, failure_of(error, _what([trajectory]), trajectory.request)))
            continue
        move[index], told[index] = moves.move, moves.told
        trajectory.note(moves.values, moves.share)
    return move, told, failed


class _Taken:
    """The gradients of one turn: those at the x0 that it began with are taken together, beforehand."""

    def __init__(self, guidance: Guidance, overseer: Overseer) -> None:
        self._guidance = guidance
        self._overseer = overseer
        self._found: list[tuple[Latents, Sequence[LossSpec], Gradient | Exception]] = []

    def together(self, asked: Sequence[tuple[Trajectory[K], Latents, Sequence[LossSpec]]]) -> None:
        """Take the gradient of each (trajectory, x0, losses)."""

        def begins(places: Sequence[int]) -> None:
            each = list({id(one): one for one in (asked[place][0] for place in places)}.values())
            self._overseer.begins(_what(each), [one.key for one in each])

        found = self._guidance.gradients([Ask(x0, losses, one.moment) for one, x0, losses in asked], begins)
        self._found += [(x0, losses, answer) for (_, x0, losses), answer in zip(asked, found, strict=True)]

    def gradient(self, trajectory: Trajectory[K], x0: Latents, asked: Sequence[LossSpec]) -> Gradient:
        """The gradient at `x0`; raises what was raised for it."""
        known = (answer for where, of, answer in self._found if where is x0 and list(of) == list(asked))
        if (answer := next(known, None)) is None:
            self.together([(trajectory, x0, asked)])
            answer = self._found[-1][-1]
        if isinstance(answer, Exception):
            raise answer
        return answer


def _what(trajectories: Sequence[Trajectory[K]]) -> str:
    """What is computed for them, as messages call it."""
    names = dict.fromkeys(loss.name for one in trajectories for loss in one.losses_now())
    return f"the gradient of the loss {'+'.join(names)}"
