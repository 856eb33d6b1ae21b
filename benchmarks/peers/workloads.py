"""What is rendered: the demo matrix, a mixed manifest, and Stable Diffusion 1.5 at full size with random weights."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from latentpress.export.demo import demo_checkpoint, demo_concepts
from latentpress.runtime.request import LossSpec, RenderRequest

STYLES = ("<line-art>", "<fx-emoji>", "<blueprint>", "<sepia>", "<pop-art>")
SUBJECTS = ("a red heart", "a cat face", "a rocket", "a house")
MIXED_SAMPLERS = ("lms", "euler", "euler_a", "ddim", "dpmpp_2m_karras")
CHANNEL = LossSpec("channel", 30.0, every=5, step="raw", params={"channel": "blue", "target": 0.9})


@dataclass(frozen=True)
class Workload:
    """Requests on one checkpoint."""

    name: str
    checkpoint: Path
    concepts: list[Path] = field(default_factory=list[Path])
    requests: list[RenderRequest] = field(default_factory=list[RenderRequest])


NAMES = ("demo", "mixed", "sd15")


def batches(name: str, *, reference: bool) -> tuple[int, ...]:
    """The batch sizes at which a peer is measured: one by one where its pictures cannot share a call.

    reference: the peer whose best batch size the others are compared with; each size more takes as long again.
    """
    sizes = {"demo": (1, 4, 8, 16), "mixed": (1,), "sd15": (1, 2)}[name]
    return sizes if reference else {"demo": (1, 8), "mixed": (1,), "sd15": (2,)}[name]


def workload(name: str, scratch: Path, images: int | None = None) -> Workload:
    """One of NAMES, its first `images` alone if given; scratch keeps the full-size checkpoint between runs."""
    found = {"demo": _demo, "mixed": _mixed, "sd15": _sd15}[name](scratch)
    return replace(found, requests=found.requests[:images])


def _demo(scratch: Path) -> Workload:
    """100 images: five styles x four subjects x five seeds, 20 steps."""
    requests = [
        RenderRequest(f"{subject} in the style of {style}", seed, 64, 64, "euler", 20, 8.0, "blurry")
        for style in STYLES
        for subject in SUBJECTS
        for seed in range(41, 46)
    ]
    return Workload("demo", demo_checkpoint(), demo_concepts(), requests)


def _mixed(scratch: Path) -> Workload:
    """30 images: 20 to 50 steps, five samplers, a third guided by a loss."""
    requests = [
        RenderRequest(
            f"{SUBJECTS[index % 4]} in the style of {STYLES[index % 5]}",
            100 + index,
            64,
            64,
            MIXED_SAMPLERS[index % 5],
            20 + index % 4 * 10,
            8.0,
            losses=(CHANNEL,) if index % 3 == 0 else (),
        )
        for index in range(30)
    ]
    return Workload("mixed", demo_checkpoint(), demo_concepts(), requests)


def _sd15(scratch: Path) -> Workload:
    """2 images of 256 px in 4 steps on Stable Diffusion 1.5's shapes with random weights: 16 UNet rows."""
    from latentpress.testing.full_size_checkpoint import build_full_size

    folder = scratch / "sd15"
    if not (folder / "complete").exists():
        build_full_size(folder, "sd1")
        (folder / "complete").touch()
    requests = [RenderRequest(f"a mouse and {seed} kites", seed, 256, 256, "euler", 4, 7.5) for seed in (1, 2)]
    return Workload("sd15", folder, [], requests)
