"""What one picture is asked to be: plain frozen data, checked where it is read (the manifest), trusted here."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LossSpec:
    """One guidance loss of one picture.

    name: a key of `runtime.guidance.LOSSES`; scale: weight of the loss, > 0; every: act on each `every`-th step,
    counted from step 0; start, stop: the fractions of the steps between which it acts, 0 <= start < stop <= 1;
    params: the loss's own parameters, complete (defaults filled in).
    """

    name: str
    scale: float
    every: int = 5
    start: float = 0.0
    stop: float = 1.0
    params: Mapping[str, float | str] = field(default_factory=dict[str, float | str])


@dataclass(frozen=True)
class RenderRequest:
    """Everything that decides a picture's pixels, beside the bundle.

    height, width: pixels, multiples of 8; seed: 0 .. 2**63-1; sampler: a canonical name of `runtime.schedule.SAMPLERS`;
    steps: >= 1; guidance_scale: classifier-free guidance acts iff > 1.
    """

    prompt: str
    seed: int
    height: int
    width: int
    sampler: str
    steps: int
    guidance_scale: float
    negative_prompt: str = ""
    losses: tuple[LossSpec, ...] = ()
