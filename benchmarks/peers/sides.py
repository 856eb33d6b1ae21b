"""The ways to render a workload. Each side loads once, then renders all requests as often as it is asked."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latentpress.runtime.request import RenderRequest
from peers.workloads import Workload

Pictures = list[NDArray[np.uint8]]
Render = Callable[[], Pictures]

# Sides whose UNet runs where no loss can have a gradient.
WITHOUT_LOSSES = ("optimum",)

SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "lms": ("LMSDiscreteScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
}


def scheduler(request: RenderRequest, checkpoint: Path) -> Any:
    """The diffusers scheduler of the request's sampler.

    From the checkpoint's own file: a pipeline's scheduler has filled in the defaults of its class, which are not another's.
    """
    import diffusers

    name, options = SCHEDULERS[request.sampler]
    config = json.loads((checkpoint / "scheduler" / "scheduler_config.json").read_text())
    config = {key: value for key, value in config.items() if not key.startswith("_")}
    return getattr(diffusers, name).from_config(config, **options)


def open_renderer(engine: str, workload: Workload, scratch: Path) -> Any:
    """Our own renderer on one of its engines, by the name `--engine` takes, with the bucket it calibrates itself."""
    from latentpress.bundle.info import open_bundle
    from latentpress.engines.choice import parse_engine
    from latentpress.export import export_bundle
    from latentpress.runtime.bucket import choose_rows
    from latentpress.runtime.render import Renderer

    choice = parse_engine(engine)
    # mixed is demo's checkpoint; each engine has the graphs it runs fastest.
    folder = scratch / f"bundle-{'sd15' if workload.name == 'sd15' else 'demo'}-{choice.name}"
    if not folder.exists():
        export_bundle(workload.checkpoint, folder, workload.concepts, engine=choice)
    renderer = Renderer(open_bundle(folder, verify=False), engine=choice)
    print(choose_rows(renderer, workload.requests, scratch, None), file=sys.stderr)
    return renderer


def latentpress(engine: str) -> Callable[[Workload, Path, int], Render]:
    """`open_renderer`'s, as a side."""

    def load(workload: Workload, scratch: Path, batch: int) -> Render:
        renderer = open_renderer(engine, workload, scratch)

        def render() -> Pictures:
            done = {item.key: item.image for item in renderer.render(list(enumerate(workload.requests)))}
            return [picture for _, picture in sorted(done.items()) if picture is not None]

        return render

    return load


def diffusers_eager(dtype: torch.dtype, *, compiled: bool = False) -> Callable[[Workload, Path, int], Render]:
    """StableDiffusionPipeline, `batch` requests of equal steps and sampler a call; guided ones by a loop in torch."""

    def load(workload: Workload, scratch: Path, batch: int) -> Render:
        from diffusers import StableDiffusionPipeline

        pipe: Any = StableDiffusionPipeline.from_pretrained(
            str(workload.checkpoint), safety_checker=None, requires_safety_checker=False, torch_dtype=dtype
        )
        pipe.set_progress_bar_config(disable=True)
        for concept in workload.concepts:
            pipe.load_textual_inversion(str(concept))
        if dtype == torch.bfloat16:
            pipe.unet.to(memory_format=torch.channels_last)
        if compiled:
            pipe.unet = torch.compile(pipe.unet)
        return lambda: _in_batches(pipe, workload, batch)

    return load


def with_concepts(workload: Workload, scratch: Path) -> str:
    """The checkpoint with its concepts saved into tokenizer and text encoder: optimum's exports load none themselves."""
    from diffusers import StableDiffusionPipeline

    folder = scratch / f"with-concepts-{workload.name}"
    if not workload.concepts:
        return str(workload.checkpoint)
    if not folder.exists():
        pipe: Any = StableDiffusionPipeline.from_pretrained(
            str(workload.checkpoint), safety_checker=None, requires_safety_checker=False, torch_dtype=torch.float32
        )
        for concept in workload.concepts:
            pipe.load_textual_inversion(str(concept))
        pipe.save_pretrained(folder)
    return str(folder)


def optimum_onnx(workload: Workload, scratch: Path, batch: int) -> Render:
    """ONNX Runtime through optimum-onnx's ORTStableDiffusionPipeline."""
    from optimum.onnxruntime import ORTStableDiffusionPipeline

    folder = scratch / f"optimum-onnx-{workload.name}"
    if not folder.exists():
        ORTStableDiffusionPipeline.from_pretrained(with_concepts(workload, scratch), export=True).save_pretrained(
            folder
        )
    pipe: Any = ORTStableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return lambda: _in_batches(pipe, workload, batch)


def optimum_openvino(precision: str) -> Callable[[Workload, Path, int], Render]:
    """OpenVINO through optimum-intel's OVStableDiffusionPipeline."""

    def load(workload: Workload, scratch: Path, batch: int) -> Render:
        from optimum.intel import OVStableDiffusionPipeline

        folder = scratch / f"optimum-openvino-{workload.name}"
        if not folder.exists():
            OVStableDiffusionPipeline.from_pretrained(with_concepts(workload, scratch), export=True).save_pretrained(
                folder
            )
        pipe: Any = OVStableDiffusionPipeline.from_pretrained(folder, ov_config={"INFERENCE_PRECISION_HINT": precision})
        pipe.set_progress_bar_config(disable=True)
        return lambda: _in_batches(pipe, workload, batch)

    return load


SIDES: dict[str, Callable[[Workload, Path, int], Render]] = {
    "latentpress cpu": latentpress("cpu"),
    "latentpress openvino f32": latentpress("openvino"),
    "latentpress openvino bf16": latentpress("openvino:bf16"),
    "diffusers f32": diffusers_eager(torch.float32),
    "diffusers bf16": diffusers_eager(torch.bfloat16),
    "diffusers f32 compiled": diffusers_eager(torch.float32, compiled=True),
    "optimum-onnx": optimum_onnx,
    "optimum-openvino f32": optimum_openvino("f32"),
    "optimum-openvino bf16": optimum_openvino("bf16"),
}


def _in_batches(pipe: Any, workload: Workload, batch: int) -> Pictures:
    pictures: Pictures = []
    for part in _parts(workload.requests, batch):
        pipe.scheduler = scheduler(part[0], workload.checkpoint)
        if part[0].losses:
            from peers.guided import guided_picture

            pictures += [guided_picture(pipe, request) for request in part]
            continue
        generators = [torch.Generator().manual_seed(request.seed) for request in part]
        made = pipe(
            [request.prompt for request in part],
            negative_prompt=[request.negative_prompt or "" for request in part],
            height=part[0].height,
            width=part[0].width,
            num_inference_steps=part[0].steps,
            guidance_scale=part[0].guidance_scale,
            generator=generators,
            output_type="np",
        )
        pictures += [np.rint(picture * 255).astype(np.uint8) for picture in made.images]
    return pictures


def _parts(requests: Sequence[RenderRequest], batch: int) -> Iterator[list[RenderRequest]]:
    """Neighbours that one pipeline call can take, at most `batch` of them."""

    def alike(request: RenderRequest) -> tuple[Any, ...]:
        return request.sampler, request.steps, request.guidance_scale, bool(request.losses)

    for _, run in groupby(requests, alike):
        members = list(run)
        yield from (members[start : start + batch] for start in range(0, len(members), batch))
