"""From the losses' gradients to how far x moves: the rules `capped`, `raw` and `rms`. Knows no torch and no sampler.

In the units of x0, with x = alpha * x0 + sigma * eps, sigma over alpha being s:

    raw      move = -s^2 * g                                  the published notebooks' rule, as long as it comes
    capped   the same, at most cap * |x0| * s / sqrt(1 + s^2) long; compare DSG (Yang et al., ICML 2024)
    rms      move = -size * s * g / rms(g)                    as long whatever the loss and its scale

s / sqrt(1 + s^2), the noise's share of x, is what is open in x0: it is 1 but for the last steps, and there it falls to 0, so
that nothing is put into the picture that the model has no step left to make a picture of.

g is the gradient of the sum of the losses that share a rule, so that these cost one backward pass. Lengths are those of one
image, in float64: neither a batch mate nor the order of a sum changes them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentpress.runtime.request import LossSpec

Latents = NDArray[np.float32]
Gradient = Callable[[Latents, Sequence[LossSpec]], tuple[Latents, tuple[float, ...]]]

# What a loss may name as its `step`, the default first: one that names none takes that.
STEPS = ("capped", "raw", "rms")


@dataclass(frozen=True)
class Step:
    """What decides how a gradient becomes a move; losses that have it in common share one backward pass.

    name: of STEPS; cap, size: as `LossSpec` has them, None where they do not matter.
    """

    name: str
    cap: float | None
    size: float | None


def step_of(loss: LossSpec) -> Step:
    """The rule that `loss` moves x0 by."""
    name = loss.step or STEPS[0]
    return Step(name, loss.cap if name == "capped" else None, loss.size if name == "rms" else None)


def sharing(losses: Sequence[LossSpec]) -> dict[Step, list[LossSpec]]:
    """The losses that share each rule, and so one backward pass."""
    found: dict[Step, list[LossSpec]] = {}
    for loss in losses:
        found.setdefault(step_of(loss), []).append(loss)
    return found


class Moves:
    """What `losses` do to one image: `move`, how x moves; `told`, the part of it that earlier predictions move with.

    x0: (C, h, w), what the model takes the picture for; row: the solver's values for this call, by column;
    values: each loss's unscaled value at x0, in the order of `losses`; share: the length of the move over |x0|.
    """

    def __init__(
        self, x0: Latents, row: Mapping[str, np.float32], losses: Sequence[LossSpec], gradient: Gradient
    ) -> None:
        self.move, self.told = np.zeros_like(x0), np.zeros_like(x0)
        values: dict[int, float] = {}
        for rule, of_it in sharing(losses).items():
            found, measured = gradient(x0, of_it)
            values |= {id(loss): value for loss, value in zip(of_it, measured, strict=True)}
            moved = _moved(rule, found, x0, row)
            self.move += moved
            if rule.name != "raw":
                self.told += moved
        self.values = tuple(values[id(loss)] for loss in losses)
        self.share = _ratio(self.move, x0, row["level_image"])


def _moved(rule: Step, gradient: Latents, x0: Latents, row: Mapping[str, np.float32]) -> Latents:
    """How x moves by `rule`."""
    # push is s^2 * alpha, weakened where a schedule is rescaled to zero terminal SNR, and 0 where there is no x0 in x.
    push, alpha, sigma = row["nudge"], row["level_image"], row["level_noise"]
    if rule.size is not None:
        size = _norm(gradient) / np.sqrt(gradient.size)
        return np.float32(-rule.size * np.sqrt(float(push) * float(alpha)) / size) * gradient if size > 0 else gradient
    move = -(push * gradient)
    if rule.cap is not None:
        limit = rule.cap * float(sigma) / float(np.hypot(float(sigma), float(alpha)))
        if (ratio := _ratio(move, x0, alpha)) > limit:
            move *= np.float32(limit / ratio)
    return move


def _ratio(move: Latents, x0: Latents, alpha: np.float32) -> float:
    """The length of what `move` of x is in x0, over |x0|; 0 where nothing moves."""
    length = _norm(move)
    whole = float(alpha) * _norm(x0)
    return 0.0 if length == 0 else length / whole if whole > 0 else float("inf")


def _norm(values: Latents) -> float:
    """The Euclidean length, in float64."""
    return float(np.sqrt(np.sum(np.square(values, dtype=np.float64))))
