"""From the losses' gradients to how far x moves: the rules `capped`, `raw` and `rms`. Knows no torch and no sampler.

In the units of x0, with x = alpha * x0 + sigma * eps, sigma over alpha being s:

    raw      move = -s^2 * g                                  the published notebooks' rule, as long as it comes
    capped   the same, at most cap * |x0| * s / sqrt(1 + s^2) long; compare DSG (Yang et al., ICML 2024)
    rms      move = -size * s * g / rms(g)                    as long whatever the loss and its scale

s / sqrt(1 + s^2), the noise's share of x, is what is open in x0: it is 1 but for the last steps, and there it falls to 0, so
that nothing is put into the picture that the model has no step left to make a picture of.

g is the gradient of the sum of the losses that share a rule, so that these cost one backward pass. Where it is taken, and
how often, is the method:

    x0       at x0, once                                      MPGD (He et al., arXiv 2311.16424)
    x0_iter  `iterations` times, each where the last move led; the cap holds for all of them together
                                                              the mean guidance of TFG (Ye et al., NeurIPS 2024)
    x0_mc    the mean of it at `samples` points x0 + r * noise, r = spread * s / sqrt(1 + s^2)
                                                              LGD-MC (Song et al., ICML 2023), on x0

Lengths are those of one image, in float64: neither a batch mate nor the order of a sum changes them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from latentpress.runtime.request import LossSpec
from latentpress.runtime.sampling.noise import NoiseSource

Latents = NDArray[np.float32]


class Gradient(Protocol):
    """What takes the gradient of the sum of the scaled losses `asked` at x0 (C, h, w), and each one's unscaled value."""

    def __call__(self, x0: Latents, asked: Sequence[LossSpec]) -> tuple[Latents, tuple[float, ...]]: ...


# What a loss may name as its `step` and its `method`, the default first: one that names none takes that.
STEPS = ("capped", "raw", "rms")
METHODS = ("x0", "x0_iter", "x0_mc")


@dataclass(frozen=True)
class Step:
    """What decides how a gradient becomes a move; losses that have it in common share their backward passes.

    name: of STEPS; cap, size: as `LossSpec` has them, None where they do not matter; iterations: 1 but for "x0_iter";
    samples, spread: 0 but for "x0_mc".
    """

    name: str
    cap: float | None
    size: float | None
    iterations: int = 1
    samples: int = 0
    spread: float = 0.0

    @property
    def gradients(self) -> int:
        """How many it takes."""
        return self.samples or self.iterations


def step_of(loss: LossSpec) -> Step:
    """The rule that `loss` moves x0 by."""
    name, method = loss.step or STEPS[0], loss.method or METHODS[0]
    cap, size = loss.cap if name == "capped" else None, loss.size if name == "rms" else None
    if method == "x0_mc":
        return Step(name, cap, size, samples=loss.samples, spread=loss.spread)
    return Step(name, cap, size, loss.iterations if method == "x0_iter" else 1)


def gradients_of(losses: Sequence[LossSpec]) -> int:
    """How many gradients `losses`, which act in one step, take in it."""
    return sum(rule.gradients for rule in {step_of(loss) for loss in losses})


def sharing(losses: Sequence[LossSpec]) -> dict[Step, list[LossSpec]]:
    """The losses that share each rule, and so one backward pass."""
    found: dict[Step, list[LossSpec]] = {}
    for loss in losses:
        found.setdefault(step_of(loss), []).append(loss)
    return found


class Moves:
    """What `losses` do to one image: `move`, how x moves; `told`, the part of it that earlier predictions move with.

    x0: (C, h, w), what the model takes the picture for; row: the solver's values for this call, by column; seed: of the
    noise that "x0_mc" takes;
    values: each loss's unscaled value at x0, with "x0_mc" the mean of those at its points, in the order of `losses`; share:
    the length of the move over |x0|.
    """

    def __init__(
        self,
        x0: Latents,
        row: Mapping[str, np.float32],
        losses: Sequence[LossSpec],
        gradient: Gradient,
        seed: int = 0,
    ) -> None:
        self.move, self.told = np.zeros_like(x0), np.zeros_like(x0)
        values: dict[int, float] = {}
        for rule, of_it in sharing(losses).items():
            moved, measured = _moved(rule, x0, row, partial(gradient, asked=of_it), NoiseSource(seed))
            values |= {id(loss): value for loss, value in zip(of_it, measured, strict=True)}
            self.move += moved
            if rule.name != "raw":
                self.told += moved
        self.values = tuple(values[id(loss)] for loss in losses)
        self.share = _ratio(self.move, x0, row["level_image"])


def _moved(
    rule: Step,
    x0: Latents,
    row: Mapping[str, np.float32],
    gradient: Callable[[Latents], tuple[Latents, tuple[float, ...]]],
    noise: NoiseSource,
) -> tuple[Latents, tuple[float, ...]]:
    """How x moves by `rule`, and the losses' values."""
    alpha = row["level_image"]
    if rule.samples:
        found, values = _averaged(rule, x0, _open(row), gradient, noise)
    else:
        found, values = gradient(x0)
    move = _cut(rule, _stepped(rule, found, row), x0, row)
    for _ in range(rule.iterations - 1 if alpha > 0 else 0):
        found, _ = gradient((x0 + move / alpha).astype(np.float32, copy=False))
        move = _cut(rule, move + _stepped(rule, found, row), x0, row)
    return move, values


def _averaged(
    rule: Step,
    x0: Latents,
    share: float,
    gradient: Callable[[Latents], tuple[Latents, tuple[float, ...]]],
    noise: NoiseSource,
) -> tuple[Latents, tuple[float, ...]]:
    """The means, over the samples, of the gradient and of each loss."""
    total, measured = np.zeros_like(x0), list[tuple[float, ...]]()
    for _ in range(rule.samples):
        point = x0 + np.float32(rule.spread * share) * noise.draw(*x0.shape)
        found, values = gradient(point.astype(np.float32, copy=False))
        total += found
        measured.append(values)
    mean = (total / np.float32(rule.samples)).astype(np.float32, copy=False)
    return mean, tuple(sum(each) / rule.samples for each in zip(*measured, strict=True))


def _stepped(rule: Step, gradient: Latents, row: Mapping[str, np.float32]) -> Latents:
    """How x moves by one gradient, uncut."""
    # push is s^2 * alpha, weakened where a schedule is rescaled to zero terminal SNR, and 0 where there is no x0 in x.
    push, alpha = row["nudge"], row["level_image"]
    if rule.size is None:
        return -(push * gradient)
    size = _norm(gradient) / np.sqrt(gradient.size)
    return np.float32(-rule.size * np.sqrt(float(push) * float(alpha)) / size) * gradient if size > 0 else gradient


def _cut(rule: Step, move: Latents, x0: Latents, row: Mapping[str, np.float32]) -> Latents:
    """`move` of x, shortened to the cap where it is longer."""
    if rule.cap is None:
        return move
    limit = rule.cap * _open(row)
    ratio = _ratio(move, x0, row["level_image"])
    return move * np.float32(limit / ratio) if ratio > limit else move


def _open(row: Mapping[str, np.float32]) -> float:
    """s / sqrt(1 + s^2)."""
    alpha, sigma = float(row["level_image"]), float(row["level_noise"])
    return sigma / float(np.hypot(sigma, alpha))


def _ratio(move: Latents, x0: Latents, alpha: np.float32) -> float:
    """The length of what `move` of x is in x0, over |x0|; 0 where nothing moves."""
    length = _norm(move)
    whole = float(alpha) * _norm(x0)
    return 0.0 if length == 0 else length / whole if whole > 0 else float("inf")


def _norm(values: Latents) -> float:
    """The Euclidean length, in float64."""
    return float(np.sqrt(np.sum(np.square(values, dtype=np.float64))))
