"""Images per second on the demo checkpoint: latentpress beside diffusers, same prompts, steps, size and CPU, one run.

    python benchmarks/latency.py [--images 8] [--steps 20] [--repeats 3] [--batches 1 2 4 8]

diffusers is called once per image, and at each batch size of --batches; its best batch is the peer to beat.
The contenders take turns, so that a slow minute of the machine meets all of them; a figure is the median of its turns.
Not measured: export, loading, PNG writing.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from latentpress.bundle.info import open_bundle
from latentpress.engines.devices import device_name
from latentpress.export.demo import demo_checkpoint, ensure_demo_bundle
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest

GUIDANCE_SCALE = 8.0


def main() -> None:
    """Measure, then print one table."""
    options = parse_options()
    prompts = [f"a mouse and {number} kites" for number in range(options.images)]
    with tempfile.TemporaryDirectory() as scratch:
        contenders = {
            f"latentpress, {options.rows} rows": with_latentpress(Path(scratch), prompts, options.steps, options.rows)
        }
        pipeline, size = diffusers_pipeline(Path(scratch))
        for batch in sorted({1, *options.batches}):
            contenders[f"diffusers, batch {batch}"] = with_diffusers(pipeline, prompts, options.steps, size, batch)
        seconds = measure(contenders, options.repeats)
    report(seconds, options, size)


def with_latentpress(scratch: Path, prompts: list[str], steps: int, rows: int) -> Callable[[], int]:
    """Render all prompts through the exported bundle; the call returns how many pictures came out."""
    bundle = open_bundle(ensure_demo_bundle(scratch / "cache"))
    height, width = bundle.info.default_size
    renderer = Renderer(bundle, batch_rows=rows)
    requests = [
        (seed, RenderRequest(prompt, seed, height, width, "ddim", steps, GUIDANCE_SCALE))
        for seed, prompt in enumerate(prompts)
    ]
    return lambda: sum(picture.image is not None for picture in renderer.render(requests))


def diffusers_pipeline(scratch: Path) -> tuple[StableDiffusionPipeline, tuple[int, int]]:
    """The same checkpoint in diffusers with DDIM, and the (height, width) the bundle renders by default, in pixels."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        demo_checkpoint(), safety_checker=None, requires_safety_checker=False
    )
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, open_bundle(ensure_demo_bundle(scratch / "cache"), verify=False).info.default_size


def with_diffusers(
    pipeline: StableDiffusionPipeline, prompts: list[str], steps: int, size: tuple[int, int], batch: int
) -> Callable[[], int]:
    """Render all prompts, `batch` at a time; the call returns how many pictures came out."""

    def render() -> int:
        done = 0
        for start in range(0, len(prompts), batch):
            part = prompts[start : start + batch]
            generators = [torch.Generator().manual_seed(start + index) for index in range(len(part))]
            result = pipeline(
                part,
                height=size[0],
                width=size[1],
                num_inference_steps=steps,
                guidance_scale=GUIDANCE_SCALE,
                generator=generators,
            )
            done += len(result.images)
        return done

    return render


def measure(contenders: dict[str, Callable[[], int]], repeats: int) -> dict[str, list[float]]:
    """name -> seconds per image of each turn; one turn of each beforehand is a warm-up and dropped."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(repeats + 1):
        for name, render in contenders.items():
            started = time.perf_counter()
            count = render()
            if turn:
                seconds[name].append((time.perf_counter() - started) / count)
    return seconds


def report(seconds: dict[str, list[float]], options: argparse.Namespace, size: tuple[int, int]) -> None:
    """Print where, what and the table; ratios are to diffusers once per image and to diffusers at its best batch."""
    rates = {name: 1 / statistics.median(turns) for name, turns in seconds.items()}
    single = rates["diffusers, batch 1"]
    best = max(rate for name, rate in rates.items() if name.startswith("diffusers"))
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "diffusers", "onnxruntime"))
    print(f"machine: {device_name()}, torch threads {torch.get_num_threads()}; {libraries}")
    print(
        f"demo checkpoint, {size[1]}x{size[0]} px, ddim, {options.steps} steps, guidance {GUIDANCE_SCALE:g}, "
        f"{options.images} images, median of {options.repeats}\n"
    )
    print("| contender | images/s | spread | to diffusers batch 1 | to diffusers' best |")
    print("|---|--:|--:|--:|--:|")
    for name, rate in rates.items():
        spread = (max(seconds[name]) - min(seconds[name])) / statistics.median(seconds[name])
        print(f"| {name} | {rate:.3f} | {spread:.0%} | {rate / single:.2f}x | {rate / best:.2f}x |")


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, default=8, help="UNet rows in one turn of latentpress")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8], help="batch sizes tried with diffusers")
    return parser.parse_args()


if __name__ == "__main__":
    main()
