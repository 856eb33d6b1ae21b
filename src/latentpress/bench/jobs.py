"""What a benchmark renders: pictures of different prompts and seeds that are otherwise alike, of one kind of job."""

import hashlib
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from latentpress.bundle.info import BundleInfo
from latentpress.runtime.limits import Limits
from latentpress.runtime.request import ImageFile, LossSpec, RenderRequest

PROMPT = "a photograph of a red kite over the sea, number {number}"
PLAIN, GUIDED, IMG2IMG = "plain", "guided", "img2img"
JOBS = (PLAIN, GUIDED, IMG2IMG)
# A loss every fifth step, as in the courses' notebooks, and most of a picture redrawn.
_LOSS = LossSpec("saturation", 100.0, every=5)
_STRENGTH = 0.75


@dataclass(frozen=True)
class Work:
    """height, width: in pixels; guidance_scale: above 1 a picture takes two rows."""

    height: int
    width: int
    sampler: str
    steps: int
    guidance_scale: float


@dataclass(frozen=True)
class BenchJob:
    """A kind of job. rows: of the UNet that one picture takes; request: the picture of a number."""

    name: str
    rows: int
    request: Callable[[int], RenderRequest]


@contextmanager
def bench_jobs(info: BundleInfo, work: Work, names: Sequence[str], notes: list[str]) -> Generator[list[BenchJob]]:
    """The jobs of `names`, of JOBS, for a bundle; the picture that img2img begins with is there while the block runs.

    `notes` hears why the bundle cannot render one.
    """
    rows = 2 if work.guidance_scale > 1 and info.guidance_embedding is None else 1
    with tempfile.TemporaryDirectory(prefix="latentpress-bench-") as folder:
        found: list[BenchJob] = []
        for name in names:
            given = _picture(Path(folder), work) if name == IMG2IMG else None
            job = BenchJob(name, rows, _requests(name, work, given))
            if refusal := Limits(info, {}).refusal(job.request(0)):
                notes.append(f"no whole pictures, {name}: {refusal[1]}")
            else:
                found.append(job)
        yield found


def _requests(name: str, work: Work, given: ImageFile | None) -> Callable[[int], RenderRequest]:
    plain = RenderRequest("", 0, work.height, work.width, work.sampler, work.steps, work.guidance_scale)
    if name == GUIDED:
        plain = replace(plain, losses=(_LOSS,))
    if given is not None:
        plain = replace(plain, init_image=given, strength=_STRENGTH)
    return lambda number: replace(plain, prompt=PROMPT.format(number=number), seed=number)


def _picture(folder: Path, work: Work) -> ImageFile:
    """A picture of smooth colours, of the size that is rendered."""
    rows, columns = np.mgrid[0 : work.height, 0 : work.width]
    colours = [columns / work.width, rows / work.height, 0.5 + 0.5 * np.sin(8 * (rows + columns) / work.width)]
    file = folder / "given.png"
    Image.fromarray(np.round(255 * np.stack(colours, axis=-1)).astype(np.uint8)).save(file)
    return ImageFile(hashlib.sha256(file.read_bytes()).hexdigest(), file)
