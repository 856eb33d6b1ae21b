"""Where a render's time goes, part by part: the demo matrix, a peers' workload, or the loop alone at full-size shapes.

    python benchmarks/where_time_goes.py render [--seeds 3] [--rows 16] [--mixed]
    python benchmarks/where_time_goes.py workload {demo,mixed,sd15} [--engine cpu] [--scratch out/peers]
    python benchmarks/where_time_goes.py loop
    python benchmarks/where_time_goes.py threads

`render` writes a folder of pictures as `latentpress render` does, with a clock around each part; the writer threads'
parts run beside the others, so that all of them add up to more than the whole. `workload` renders what `python -m peers`
does, into memory, with the engines open and warm. `loop` is what surrounds the UNet: a UNet
that answers at once, latents and conditioning of the true shapes. `threads` is what ONNX Runtime's idle threads cost the
next call when they go on spinning.
"""

import argparse
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import torch

from latentpress import cli
from latentpress.batch import folder, planned, writers
from latentpress.bundle.info import open_bundle
from latentpress.bundle.inputs import example_inputs
from latentpress.cache.place import cache_dir
from latentpress.cli import manifests as commands
from latentpress.engines.choice import DEFAULT_ENGINE
from latentpress.engines.devices import device_name
from latentpress.engines.memory import HalvingSession
from latentpress.export.demo import ensure_demo_bundle
from latentpress.runtime import render as runtime
from latentpress.runtime.guidance.gradient import LossGuidance
from latentpress.runtime.loop import denoise as loop
from latentpress.runtime.loop.model import Model
from latentpress.runtime.loop.modes import begin
from latentpress.runtime.loop.trajectory import Trajectory
from latentpress.runtime.prompts.conditioning import Conditioning
from latentpress.runtime.request import RenderRequest
from latentpress.runtime.sampling.noise import NoiseSource

MANIFEST = """\
version: 1
name: where
model: demo
defaults: {{prompt: "a {{subject}} in the style of {{style}}", negative_prompt: blurry, sampler: euler}}
matrix:
  style: [<line-art>, <fx-emoji>, <blueprint>, <sepia>, <pop-art>]
  subject: [red heart, cat face, rocket, house]
  seed: 1..{seeds}
  variant: [{variants}]
output: "{{style}}-{{subject}}-{{seed}}-{{variant}}.png"
"""
EQUAL = "{guidance_scale: 8, steps: 20}"
MIXED = ", ".join(f"{{guidance_scale: 8, steps: {steps}}}" for steps in (14, 18, 22, 26))


class Clock:
    """Seconds and calls by part; a part's inner parts are not counted in it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._inner = threading.local()

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, its time added to part `name`."""

        def timed(*args: Any, **named: Any) -> Any:
            stack: list[float] = self._inner.__dict__.setdefault("stack", [])
            stack.append(0.0)
            started = time.perf_counter()
            try:
                return function(*args, **named)
            finally:
                whole = time.perf_counter() - started
                self.seconds[name] += whole - stack.pop()
                self.calls[name] += 1
                if stack:
                    stack[-1] += whole

        return timed


@contextmanager
def clocked(clock: Clock) -> Iterator[None]:
    """A clock around every part of a render."""
    run = HalvingSession.run

    def engine(session: Any, inputs: Any) -> Any:
        return clock.around(f"engine: {session.component}", run)(session, inputs)

    parts = [
        (HalvingSession, "run", engine),
        (commands, "read_named", clock.around("start: imports and manifest", commands.read_named)),
        (folder, "models_for", clock.around("start: find and verify the bundles", folder.models_for)),
        (planned, "build_plan", clock.around("start: plan", planned.build_plan)),
        (runtime, "Model", clock.around("start: open the engines", Model)),
        (runtime, "begin", clock.around("begin a picture: noise, prompt", begin)),
        (loop, "predict", clock.around("pack rows, combine guidance", loop.predict)),
        (loop, "advance", clock.around("advance the samplers", loop.advance)),
        (LossGuidance, "gradients", clock.around("loss gradients", LossGuidance.gradients)),
        (writers, "picture_bytes", clock.around("writers: encode pictures", writers.picture_bytes)),
        (writers, "pixel_sha256", clock.around("writers: hash", writers.pixel_sha256)),
        (writers, "publish", clock.around("writers: write and fsync", writers.publish)),
        (writers.Ledger, "done", clock.around("writers: ledger row", writers.Ledger.done)),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in parts]
    for owner, name, timed in parts:
        setattr(owner, name, timed)
    try:
        yield
    finally:
        for owner, name, original in before:
            setattr(owner, name, original)


def time_render(seeds: int, rows: int, mixed: bool) -> None:
    """Render 20 x `seeds` pictures (four times as many when `mixed`) of 64x64, and print the parts."""
    ensure_demo_bundle(cache_dir())  # exporting it does not belong to a render
    with tempfile.TemporaryDirectory() as scratch:
        manifest = Path(scratch, "where.yaml")
        manifest.write_text(MANIFEST.format(seeds=seeds, variants=MIXED if mixed else EQUAL))
        clock = Clock()
        with clocked(clock):
            started = time.perf_counter()
            options = ["-o", str(Path(scratch, "out")), "--batch-rows", str(rows), "--in-process"]
            code = cli.run_cli(["render", str(manifest), *options])
            whole = time.perf_counter() - started
        if code:
            raise SystemExit(code)
    print_parts(clock, clock.calls["writers: ledger row"], whole, rows)


def time_workload(name: str, engine: str, scratch: Path) -> None:
    """Render one of the peers' workloads twice on an engine, and print the parts of the second time."""
    from peers.sides import open_renderer
    from peers.workloads import workload

    scratch.mkdir(parents=True, exist_ok=True)
    work = workload(name, scratch.resolve())
    renderer = open_renderer(engine, work, scratch.resolve())
    for clock in (Clock(), Clock()):
        with clocked(clock):
            started = time.perf_counter()
            pictures = sum(done.image is not None for done in renderer.render(list(enumerate(work.requests))))
            whole = time.perf_counter() - started
    print_parts(clock, pictures, whole, renderer.batch_rows)


def print_parts(clock: Clock, images: int, whole: float, rows: int) -> None:
    """The table."""
    print(f"\n{device_name()}; {images} images in {whole:.2f} s, {rows} rows a call\n")
    print("| part | calls | ms a call | ms an image | share |\n|---|--:|--:|--:|--:|")
    named = 0.0
    for part, seconds in sorted(clock.seconds.items(), key=lambda item: -item[1]):
        calls = clock.calls[part]
        named += 0 if part.startswith("writers") else seconds
        print(
            f"| {part} | {calls} | {seconds / calls * 1e3:.2f} | {seconds / images * 1e3:.2f} | {seconds / whole:.1%} |"
        )
    print(f"| all else | | | {(whole - named) / images * 1e3:.2f} | {(whole - named) / whole:.1%} |")


class Instant:
    """A UNet that answers at once."""

    engine, note = DEFAULT_ENGINE, ""

    def __init__(self, rows: int, shape: tuple[int, ...]) -> None:
        self.answer = np.zeros((rows, *shape), np.float32)

    def run(self, inputs: Any) -> dict[str, Any]:
        """Zeros of the right shape."""
        return {"noise_pred": self.answer[: len(inputs["sample"])]}


def time_loop() -> None:
    """Print the milliseconds a turn takes beside the UNet's call, with 96 pictures of 20 to 26 steps."""
    solvers = Model(open_bundle(ensure_demo_bundle(cache_dir())), None).solvers
    print(f"{device_name()}\n\n| shapes | sampler | rows | ms a turn |\n|---|---|--:|--:|")
    for name, shape, width in (("SD 1.5, 512x512", (4, 64, 64), 768), ("SDXL, 1024x1024", (4, 128, 128), 2048)):
        for sampler in ("euler", "euler_a"):
            for rows in (16, 64):
                uncond = Conditioning(np.zeros((77, width), np.float32))
                pictures = [
                    Trajectory(
                        key=seed,
                        request=RenderRequest("", seed, 512, 512, sampler, 20 + seed % 7, 7.5),
                        solver=solvers.table(sampler, 20 + seed % 7),
                        noise=NoiseSource(seed),
                        latents=np.zeros(shape, np.float32),
                        cond=Conditioning(np.zeros((77, width), np.float32)),
                        uncond=uncond,
                    )
                    for seed in range(96)
                ]
                started = time.perf_counter()
                turns = sum(1 for _ in loop.denoise(pictures, Instant(rows, shape), None, rows))
                took = (time.perf_counter() - started) / turns
                print(f"| {name} | {sampler} | {rows} | {took * 1e3:.2f} |")


def time_threads() -> None:
    """Print how long 24 UNet calls take with decoder calls, or torch's, between them; idle threads spinning or stopped."""
    bundle = open_bundle(ensure_demo_bundle(cache_dir()))
    size = (64 // bundle.info.vae_scale_factor,) * 2
    calls = (("unet", 16), ("vae_decoder", 4))
    inputs = {name: example_inputs(bundle.info, name, rows, size) for name, rows in calls}
    images, kernel = torch.randn(8, 64, 64, 64), torch.randn(64, 64, 3, 3)
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(3):
        for idle in ("spin", "stop"):
            unet, decoder = (_session(bundle.file(f"{name}.onnx"), idle) for name in inputs)
            between = {
                "12 calls of the decoder": lambda turn, decoder=decoder: (
                    decoder.run(None, inputs["vae_decoder"]) if turn % 2 else None
                ),
                "24 convolutions in torch": lambda turn: torch.nn.functional.conv2d(images, kernel, padding=1),
            }
            for what, call in between.items():
                call(1)
                unet.run(None, inputs["unet"])
                started = time.perf_counter()
                for turn in range(24):
                    unet.run(None, inputs["unet"])
                    call(turn)
                seconds[what, idle].append(time.perf_counter() - started)
    print(f"{device_name()}; 24 UNet calls of 16 rows, median of 3\n")
    print("| between them | spinning, s | stopped, s |\n|---|--:|--:|")
    for what in dict.fromkeys(what for what, _ in seconds):
        print(f"| {what} | {median(seconds[what, 'spin']):.2f} | {median(seconds[what, 'stop']):.2f} |")


def _session(path: Path, idle: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1" if idle == "stop" else "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    what = parser.add_subparsers(dest="what", required=True)
    render = what.add_parser("render")
    render.add_argument("--seeds", type=int, default=3, help="20 pictures each")
    render.add_argument("--rows", type=int, default=16, help="UNet rows a call")
    render.add_argument("--mixed", action="store_true", help="14 to 26 steps: four times the pictures")
    given = what.add_parser("workload")
    given.add_argument("name", choices=("demo", "mixed", "sd15"))
    given.add_argument("--engine", default="cpu", help="as `latentpress render --engine` takes it")
    given.add_argument("--scratch", type=Path, default=Path("out/peers"), help="where the peers keep their bundles")
    what.add_parser("loop")
    what.add_parser("threads")
    options = parser.parse_args()
    if options.what == "loop":
        time_loop()
    elif options.what == "threads":
        time_threads()
    elif options.what == "workload":
        time_workload(options.name, options.engine, options.scratch)
    else:
        time_render(options.seeds, options.rows, options.mixed)


if __name__ == "__main__":
    main()
