"""What one picture is asked to be, and what comes back: plain frozen data.

A request is checked where it is read (the manifest) and trusted here.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

# What the caller knows a picture by.
K = TypeVar("K", bound=Hashable)

# Of a field of nested data that came later: it is left out of a job's hash at its default.
LATER: Mapping[str, bool] = {"later": True}
# What a loss's mask is called among its files.
MASK = "mask"
# What a loss's step is where nothing says otherwise (docs/manifest.md); part of job hashes, so for ever.
DEFAULT_CAP, DEFAULT_SIZE = 0.3, 0.05
DEFAULT_ITERATIONS, DEFAULT_SAMPLES, DEFAULT_SPREAD = 4, 4, 0.1


@dataclass(frozen=True)
class LossCode:
    """The code of a person's own loss: what it is decides pixels (`sha256`, `function`), where it lies (`path`) does not.

    sha256: of its file and the local modules that it imports (guidance/own/source.py); function: its name in the file;
    package: of an installed package the dotted name of the module; that is run as it is installed.
    """

    sha256: str
    path: Path = field(compare=False)
    function: str = field(default="loss", metadata=LATER)
    package: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """What a loss is known by among others: a file may hold several."""
        return f"{self.sha256}:{self.function}"


@dataclass(frozen=True)
class ImageFile:
    """A picture to start from, a mask, or one that a loss compares with.

    What is in it decides pixels (`sha256`), where it lies (`path`) does not.

    otherwise: names of the rules (runtime/rules.py) by which this job reads it otherwise than before them; follows from
    the content and the job.
    """

    sha256: str
    path: Path = field(compare=False)
    otherwise: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class LossSpec:
    """One guidance loss of one picture.

    name: a key of the renderer's losses, by default `runtime.guidance.LOSSES`; scale: weight of the loss, not 0, and
    below it, which raises the loss, where `Loss.both_ways` says that this makes sense;
    every: act on each `every`-th step, counted from step 0; start, stop: the fractions of the steps between which it
    acts, 0 <= start < stop <= 1; params: the loss's own parameters, complete (defaults filled in,
    but for those that came later: `LossParams.complete`);
    code: of a person's own loss, None for a built-in one; files: the pictures that it compares with, by the names of its
    parameters, and under MASK the one that is white where it acts;
    step: how a gradient becomes a move (guidance/step.py): "capped", "raw", "rms", or "" for what the program does by
    default, which may change; cap: the longest move of "capped", as a share of |x0|; size: the move of "rms", as a share of
    the noise; warm_up: the share of the steps over which the push rises from its beginning on, 0 for none; clamp: whether
    the loss sees the image as its file will hold it, within 0..1;
    method: where the gradient is taken (guidance/step.py): "x0", "x0_iter", "x0_mc", or "" for "x0"; iterations: how often
    with "x0_iter"; samples, spread: with "x0_mc" at how many points around x0, and how far from it, as a share of what is
    open in it.
    """

    name: str
    scale: float
    every: int = 5
    start: float = 0.0
    stop: float = 1.0
    params: Mapping[str, float | str] = field(default_factory=dict[str, float | str])
    code: LossCode | None = field(default=None, metadata=LATER)
    files: Mapping[str, ImageFile] = field(default_factory=dict[str, ImageFile], metadata=LATER)
    step: str = field(default="", metadata=LATER)
    cap: float = field(default=DEFAULT_CAP, metadata=LATER)
    size: float = field(default=DEFAULT_SIZE, metadata=LATER)
    warm_up: float = field(default=0.0, metadata=LATER)
    clamp: bool = field(default=False, metadata=LATER)
    method: str = field(default="", metadata=LATER)
    iterations: int = field(default=DEFAULT_ITERATIONS, metadata=LATER)
    samples: int = field(default=DEFAULT_SAMPLES, metadata=LATER)
    spread: float = field(default=DEFAULT_SPREAD, metadata=LATER)


@dataclass(frozen=True)
class MicroConditioning:
    """What SDXL is told of the picture it would have been trained on; sizes and offsets in pixels, (height, width).

    original_size, target_size: None for the picture's own size; crop_top_left: (top, left); the aesthetic scores, of
    the prompt and of the negative prompt, are for bundles with requires_aesthetics_score. The defaults are diffusers'.
    The negative_... ones are of the negative prompt: sizes None for those of the prompt, the crop None for diffusers'
    choice, which `negative` has.
    """

    original_size: tuple[int, int] | None = None
    crop_top_left: tuple[int, int] = (0, 0)
    target_size: tuple[int, int] | None = None
    aesthetic_score: float = 6.0
    negative_aesthetic_score: float = 2.5
    negative_original_size: tuple[int, int] | None = field(default=None, metadata=LATER)
    negative_crop_top_left: tuple[int, int] | None = field(default=None, metadata=LATER)
    negative_target_size: tuple[int, int] | None = field(default=None, metadata=LATER)

    def negative(self, *, scored: bool, given: bool) -> "MicroConditioning":
        """What the model is told with the negative prompt.

        scored: whether the bundle has requires_aesthetics_score; given: whether the picture has an init_image. The crop is
        by default (0, 0) where `scored`, and from text alone if both negative sizes are set; elsewhere it is the prompt's.
        """
        sizes = self.negative_original_size is not None and self.negative_target_size is not None
        crop = (0, 0) if scored or (sizes and not given) else self.crop_top_left
        return MicroConditioning(
            self.negative_original_size or self.original_size,
            crop if self.negative_crop_top_left is None else self.negative_crop_top_left,
            self.negative_target_size or self.target_size,
            self.negative_aesthetic_score,
        )


@dataclass(frozen=True)
class Refiner:
    """The SDXL refiner that takes over: `sha256`, the hash of its bundle; switch_at: 0..1, the share of the base."""

    sha256: str
    switch_at: float


@dataclass(frozen=True)
class RenderRequest:
    """Everything that decides a picture's pixels, apart from the bundle.

    height, width: pixels, multiples of 8; seed: 0 .. 2**64-1; sampler: a canonical name of `runtime.sampling.samplers`;
    steps: >= 1; guidance_scale: classifier-free guidance acts iff > 1, and never where the model is told the scale
    (LCM); negative_prompt: None is zeros where the bundle has force_zeros_for_empty_prompt, elsewhere "".
    guidance_rescale: phi of arXiv 2305.08891, section 3.4, 0..1. clip_skip: the last layers of each text encoder left
    out, of the prompt and (unlike diffusers' Stable Diffusion pipelines) of the negative prompt.
    eta: for the samplers ddim, the share of DDPM's noise that it adds, and tcd, its gamma, alone; 0..1.
    init_image: the picture to start from; strength: 0..1, the share of the steps that are run on it; mask_image: white
    where the picture is to be redrawn, needs an init_image.
    picture_reading: how both are read, of `runtime.pictures.reading`'s READINGS; background: "#rrggbb", what a transparent
    init_image is laid on.
    guidance_stop: 0..1, the share of the steps after which classifier-free guidance is off.
    prompt_weighting, long_prompts: how prompt and negative prompt are read, of `runtime.prompts`' WEIGHTINGS and
    LONG_PROMPTS. text_cleaning: what becomes of their characters first, of its CLEANINGS.
    timesteps: falling training timesteps >= 0 at which the steps begin, as many as `steps`; () leaves them to the sampler.
    """

    prompt: str
    seed: int
    height: int
    width: int
    sampler: str
    steps: int
    guidance_scale: float
    negative_prompt: str | None = None
    losses: tuple[LossSpec, ...] = ()
    guidance_rescale: float = 0.0
    clip_skip: int = 0
    eta: float = 0.0
    init_image: ImageFile | None = None
    mask_image: ImageFile | None = None
    strength: float = 1.0
    picture_reading: str = "shown"
    background: str = "#ffffff"
    refiner: Refiner | None = None
    micro: MicroConditioning = MicroConditioning()
    prompt_weighting: str = "none"
    long_prompts: str = "truncate"
    guidance_stop: float = 1.0
    text_cleaning: str = "basic"
    timesteps: tuple[int, ...] = ()

    def guided_steps(self, steps: int) -> int:
        """How many of a picture's first `steps` have classifier-free guidance, as by the `stop` of diffusers' guiders."""
        return int(self.guidance_stop * steps) if self.guidance_scale > 1 else 0


@dataclass(frozen=True)
class Origin:
    """What a picture was made on.

    provider: the engine as its session calls itself; batch_rows: the most UNet rows a call; row_rule: what the pixels
    depend on beside the job (engines/strict.py); device: the processor or GPU, as it names itself; versions: of the
    packages that computed it; these two decide no pixels that the others do not, and are for the ledger alone. gradient:
    what computed the gradients of losses, as `provider` names engines, "" where none guided.
    """

    provider: str
    batch_rows: int
    row_rule: str
    device: str = ""
    versions: str = ""
    gradient: str = ""


# Why there is no picture. not_finite: it came out NaN or infinite; input: a file it needs cannot be read; memory: it does
# not fit, alone in a call; exception: what computes it raised; hang: its time ran out; killed: its process was.
CAUSES = ("not_finite", "input", "memory", "exception", "hang", "killed")


@dataclass(frozen=True)
class GuidedStep:
    """What losses did in one step of a picture.

    step: its number; values: the unscaled value of each loss of the request in its order, before the move, None of one that
    did not act; share: how far they moved x0, as a share of |x0|.
    """

    step: int
    values: tuple[float | None, ...]
    share: float


@dataclass(frozen=True, eq=False)
class Rendered(Generic[K]):
    """A finished picture, or why there is none.

    image: (H, W, 3) uint8, None where `error` says why; seconds: from its first step to its pixels, shared with its
    batch mates; origin: as of its last UNet call (batch_rows falls where memory runs out), or, where the picture it was
    to start from could not be read, as of then; losses: each loss of the request in its order, by its label
    (guidance/labels.py), with its unscaled value on the picture; cause: one of CAUSES where there is an `error`, else "";
    guided: the steps in which losses acted.
    """

    key: K
    image: NDArray[np.uint8] | None
    error: str | None
    seconds: float
    origin: Origin
    losses: tuple[tuple[str, float], ...] = ()
    cause: str = ""
    guided: tuple[GuidedStep, ...] = ()


def first_step(request: RenderRequest) -> int:
    """The step a picture begins at: 0, or with a given picture the one that leaves int(steps * strength) to run."""
    if request.init_image is None:
        return 0
    return request.steps - min(int(request.steps * request.strength), request.steps)
