"""The ways to render a case: latentpress on an engine, and diffusers in float32, half precision, and compiled.

A side is loaded once; then it renders requests, so many pictures in flight, as often as it is asked.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peers.sides import scheduler

from gpu.settings import Case, Place
from latentpress.runtime.request import RenderRequest

Pictures = list[NDArray[np.uint8]]
# (requests, pictures in flight) -> their pictures
Render = Callable[[Sequence[RenderRequest], int], Pictures]
REFERENCE = "diffusers fp32"
COMPILED = ("diffusers half compiled", "diffusers half compiled, CUDA graphs")


def latentpress(case: Case, where: Place, scratch: Path, *, engine: str, decode_beside: bool) -> tuple[Render, str]:
    """Our renderer on the case's bundle, with room for two UNet rows for each picture in flight; and its provider."""
    from latentpress.bundle.info import open_bundle
    from latentpress.engines.choice import parse_engine
    from latentpress.runtime.render import Renderer

    bundle = open_bundle(bundle_folder(scratch, case, engine), verify=False)
    renderer = Renderer(bundle, engine=parse_engine(engine), decode_beside=decode_beside)

    def render(requests: Sequence[RenderRequest], batch: int) -> Pictures:
        renderer.batch_rows = 2 * batch
        done = {item.key: item for item in renderer.render(list(enumerate(requests)))}
        wrong = [item.error for item in done.values() if item.image is None]
        if wrong or renderer.batch_rows < 2 * batch:
            raise RuntimeError(f"latentpress: {wrong[0] if wrong else 'memory ran out, and calls were halved'}")
        return [done[key].image for key in sorted(done)]

    return render, renderer.provider


def diffusers(case: Case, where: Place, scratch: Path, *, dtype: str, compiled: str | None) -> tuple[Render, str]:
    """diffusers' pipeline; `compiled`: torch.compile's mode for the UNet. Latents are drawn as latentpress draws them."""
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    own = torch.float32 if dtype == "fp32" else getattr(torch, where.half)
    if dtype == "fp32":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    kind: Any = StableDiffusionXLPipeline if case.family == "sdxl" else StableDiffusionPipeline
    options: dict[str, Any] = (
        {"add_watermarker": False}
        if case.family == "sdxl"
        else {"safety_checker": None, "requires_safety_checker": False}
    )
    folder = checkpoint_folder(scratch, case)
    pipe: Any = kind.from_pretrained(str(folder), torch_dtype=own, **options).to(where.device)
    pipe.set_progress_bar_config(disable=True)
    if dtype != "fp32":
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
    if compiled is not None:
        pipe.unet = torch.compile(pipe.unet, mode=compiled, dynamic=False)

    def render(requests: Sequence[RenderRequest], batch: int) -> Pictures:
        pictures: Pictures = []
        for start in range(0, len(requests), batch):
            pictures += one_call(requests[start : start + batch])
        return pictures

    def one_call(part: Sequence[RenderRequest]) -> Pictures:
        pipe.scheduler = scheduler(part[0], folder)
        shape = (pipe.unet.config.in_channels, part[0].height // 8, part[0].width // 8)
        # In float32, whatever the pipeline's type: torch draws other numbers in half precision.
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(request.seed)) for request in part]
        made = pipe(
            [request.prompt for request in part],
            height=part[0].height,
            width=part[0].width,
            num_inference_steps=part[0].steps,
            guidance_scale=part[0].guidance_scale,
            latents=torch.stack(noise).to(where.device, own),
            output_type="pil",
        )
        return [np.asarray(picture) for picture in made.images]

    mode = f" compiled ({compiled})" if compiled else ""
    return render, f"torch {torch.__version__} {str(own).removeprefix('torch.')}{mode}"


SIDES: dict[str, Callable[[Case, Place, Path], tuple[Render, str]]] = {
    REFERENCE: lambda *given: diffusers(*given, dtype="fp32", compiled=None),
    "latentpress": lambda case, where, scratch: latentpress(
        case, where, scratch, engine=where.engine, decode_beside=True
    ),
    "latentpress, decoder between": lambda case, where, scratch: latentpress(
        case, where, scratch, engine=where.engine, decode_beside=False
    ),
    "latentpress tensorrt": lambda case, where, scratch: latentpress(
        case, where, scratch, engine="tensorrt", decode_beside=True
    ),
    "diffusers half": lambda *given: diffusers(*given, dtype="half", compiled=None),
    COMPILED[0]: lambda *given: diffusers(*given, dtype="half", compiled="default"),
    COMPILED[1]: lambda *given: diffusers(*given, dtype="half", compiled="reduce-overhead"),
}


def batches(case: Case, side: str) -> tuple[int, ...]:
    """Pictures in flight at which a side is measured."""
    if side == REFERENCE:
        return (case.pictures,)
    if side in COMPILED:
        return case.compiled
    return case.batches[:1] if side.endswith("between") else case.batches


def warm_up(requests: Sequence[RenderRequest]) -> list[RenderRequest]:
    """The same in three steps: the first call allocates, the second captures or compiles, the third is as all others."""
    return [replace(request, steps=min(3, request.steps)) for request in requests]


def checkpoint_folder(scratch: Path, case: Case) -> Path:
    """Where a case's checkpoint is."""
    return scratch / "checkpoints" / case.name


def bundle_folder(scratch: Path, case: Case, engine: str) -> Path:
    """Where a case's bundle for `engine` is."""
    return scratch / "bundles" / f"{case.name}-{engine}"
