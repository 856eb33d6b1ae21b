"""What a loss costs a picture: CPU seconds of guided and unguided renders, by engine and by what computes the gradients.

    python benchmarks/guided_cost.py demo
    python benchmarks/guided_cost.py sd15 [--pixels 256] [--steps 5] [--scratch out/guided-cost]

Every fifth step is guided, so that 5 steps with one guided are in the proportion of 50 with ten. All sides run in one
process, one after the other, warm; CPU seconds, because other work on the machine makes wall time longer, and them hardly.
`sd15` has Stable Diffusion 1.5's shapes and random weights, and exports them into the scratch folder at first (some minutes,
9 GB).
"""

import argparse
import gc
import time
from dataclasses import replace
from pathlib import Path

from latentpress.bundle.info import Bundle, open_bundle
from latentpress.cache.place import cache_dir
from latentpress.engines.choice import check_installed, parse_engine, parse_gradient
from latentpress.engines.devices import device_name
from latentpress.errors import EnvironmentFailure
from latentpress.export import export_bundle
from latentpress.export.demo import ensure_demo_bundle
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import LossSpec, RenderRequest
from latentpress.testing.full_size_checkpoint import build_full_size

EVERY = 5
LOSS = LossSpec("channel", 100.0, EVERY, params={"channel": "blue", "target": 0.9})
# What renders, and what computes the gradients beside it: in torch, in float32 and in bfloat16 on an engine.
SIDES = {
    "cpu": ("torch", "cpu", "openvino:bf16"),
    "openvino": ("torch", "openvino", "openvino:bf16"),
    "openvino:bf16": ("torch", "openvino", "openvino:bf16"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=("demo", "sd15"))
    parser.add_argument("--pixels", type=int, help="a side; by default 64 for demo, 256 for sd15")
    parser.add_argument("--steps", type=int, help="by default 50 for demo, 5 for sd15")
    parser.add_argument("--pictures", type=int, help="together; by default 8 for demo, 1 for sd15")
    parser.add_argument("--engines", nargs="+", default=list(SIDES), choices=SIDES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scratch", type=Path, default=Path("out/guided-cost"))
    asked = parser.parse_args()
    small = asked.size == "demo"
    pixels, steps = asked.pixels or (64 if small else 256), asked.steps or (50 if small else 5)
    pictures = asked.pictures or (8 if small else 1)
    bundle = open_bundle(ensure_demo_bundle(cache_dir()) if small else _full_size(asked.scratch), verify=False)
    what = f"{pictures} of {pixels}x{pixels}, {steps} steps, every {EVERY}th guided"
    print(f"{device_name(gpu=False)}, {asked.threads} threads; {what}")
    print("| engine | gradients | CPU s | to unguided |\n|---|---|--:|--:|")
    for engine in asked.engines:
        try:
            check_installed(parse_engine(engine))
            plain = _seconds(bundle, engine, None, pixels, steps, pictures, asked.threads)
        except EnvironmentFailure as error:
            print(f"| {engine} | not here: {error} | | |")
            continue
        print(f"| {engine} | unguided | {plain:.2f} | 1.00x |", flush=True)
        for gradient in SIDES[engine]:
            try:
                found = _seconds(bundle, engine, gradient, pixels, steps, pictures, asked.threads)
                print(f"| {engine} | {gradient} | {found:.2f} | {found / plain:.2f}x |", flush=True)
            except EnvironmentFailure as error:
                print(f"| {engine} | {gradient}: not here ({error}) | | |", flush=True)


def _seconds(
    bundle: Bundle, engine: str, gradient: str | None, pixels: int, steps: int, pictures: int, threads: int
) -> float:
    """CPU seconds of rendering `pictures` together, everything open and warm; guided if there is a `gradient`."""
    import torch

    torch.set_num_threads(threads)
    renderer = Renderer(
        bundle,
        batch_rows=2 * pictures,
        threads=threads,
        engine=parse_engine(engine),
        gradient=parse_gradient(gradient) if gradient else None,
        cache=cache_dir(),
    )
    losses = (LOSS,) if gradient else ()
    if losses:
        renderer.open_guidance()
    asked = RenderRequest("a red heart", 0, pixels, pixels, "euler", steps, 7.5, losses=losses)
    work = [(seed, replace(asked, seed=seed)) for seed in range(pictures)]
    for rendered in renderer.render([(seed, _first_step(request)) for seed, request in work]):  # every shape once
        assert rendered.image is not None, rendered.error
    began = time.process_time()
    for rendered in renderer.render(work):
        assert rendered.image is not None, rendered.error
    seconds = time.process_time() - began
    del renderer
    gc.collect()
    return seconds


def _first_step(request: RenderRequest) -> RenderRequest:
    return replace(request, steps=1)


def _full_size(scratch: Path) -> Path:
    bundle = scratch / "bundle"
    if not bundle.exists():
        build_full_size(scratch / "checkpoint", "sd1")
        export_bundle(scratch / "checkpoint", bundle, [], report=print)
    return bundle


if __name__ == "__main__":
    main()
