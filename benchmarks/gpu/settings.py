"""What is rendered: Stable Diffusion 1.5 and SDXL base at full size on a GPU, or small models on the CPU to rehearse."""

from dataclasses import dataclass

from latentpress.bundle.info import Precision
from latentpress.runtime.request import RenderRequest

GUIDANCE_SCALE = 7.5
SAMPLER = "euler"


@dataclass(frozen=True)
class Case:
    """One model at one size. batches: pictures in flight, the most telling number first, for a run that is cut short.

    compiled: those of them that torch.compile is measured at, for each takes a compilation; pictures: how many are held
    to diffusers in float32.
    """

    name: str
    family: str
    side: int
    steps: int
    batches: tuple[int, ...]
    compiled: tuple[int, ...]
    pictures: int

    def requests(self, count: int) -> list[RenderRequest]:
        """`count` pictures of different prompts and seeds, the same ones first whatever `count` is."""
        return [
            RenderRequest(
                f"a photograph of {number} red kites over the sea",
                number,
                self.side,
                self.side,
                SAMPLER,
                self.steps,
                GUIDANCE_SCALE,
            )
            for number in range(count)
        ]


@dataclass(frozen=True)
class Place:
    """Where and in what: torch's device, the engine and precision of the bundle, the type of diffusers' half precision."""

    device: str
    engine: str
    precision: Precision
    half: str
    full_size: bool


GPU = Place("cuda", "cuda", "fp16", "float16", True)
REHEARSAL = Place("cpu", "cpu", "fp32", "bfloat16", False)
CASES = {
    "sd15": Case("sd15", "sd1", 512, 20, (8, 1, 16, 32), (8, 1), 4),
    "sdxl": Case("sdxl", "sdxl", 1024, 20, (4, 1, 8), (4,), 2),
}
SMALL = {
    "sd15": Case("sd15", "sd1", 64, 2, (2, 1), (2,), 2),
    "sdxl": Case("sdxl", "sdxl", 64, 2, (2,), (2,), 2),
}


def place(rehearse: bool) -> Place:
    """Where a run measures."""
    return REHEARSAL if rehearse else GPU


def case(name: str, rehearse: bool) -> Case:
    """A case by its name, sd15 or sdxl."""
    return (SMALL if rehearse else CASES)[name]
