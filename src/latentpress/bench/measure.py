"""Times a bundle's components and whole renders at several buckets."""

import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from latentpress.bench.ceiling import Ceiling
from latentpress.bench.flops import Shape, graph_flops, spread
from latentpress.runtime.bundle import Bundle
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest
from latentpress.runtime.session import Array, Session

PROMPT = "a photograph of a red kite over the sea, number {number}"


@dataclass(frozen=True)
class Timing:
    """One component at one number of rows: milliseconds at the 50th, 90th and 99th percentile, calls timed.

    gflops: what one call computes; share: of the ceiling, at the median; None where either is not known.
    """

    component: str
    rows: int
    calls: int
    p50: float
    p90: float
    p99: float
    gflops: float | None
    share: float | None


@dataclass(frozen=True)
class Throughput:
    """Whole renders at one bucket: images per second, and the share of the time spent outside the UNet, 0..1."""

    rows: int
    images: int
    images_per_second: float
    outside_unet: float


@dataclass(frozen=True)
class Benchmark:
    """What `latentpress bench` found; peak_memory: bytes this process held at most; size: (height, width)."""

    bundle: str
    provider: str
    size: tuple[int, int]
    sampler: str
    steps: int
    guidance_scale: float
    ceiling: Ceiling | None
    components: list[Timing]
    throughput: list[Throughput]
    peak_memory: int


@dataclass(frozen=True)
class Workload:
    """What is rendered, and how long each component is timed at most, in seconds."""

    height: int
    width: int
    sampler: str
    steps: int
    guidance_scale: float
    seconds: float


def run_benchmark(
    bundle: Bundle,
    work: Workload,
    buckets: Sequence[int],
    *,
    sessions: Mapping[str, Session],
    ceiling: Ceiling | None,
    report: Callable[[str], None] = lambda line: None,
) -> Benchmark:
    """Measure `bundle` on `sessions`, its opened components; buckets: the numbers of UNet rows tried.

    `report` hears what is being measured.
    """
    components: list[Timing] = []
    for component, rows, inputs in _calls(bundle, work, buckets):
        report(f"{component}, {rows} rows")
        session = sessions[component]
        seconds = _timed(lambda session=session, inputs=inputs: session.run(inputs), work.seconds)
        components.append(_timing(bundle, component, rows, inputs, seconds, ceiling))
    throughput: list[Throughput] = []
    for rows in buckets:
        report(f"whole renders, {rows} rows")
        throughput.append(_throughput(bundle, sessions, work, rows))
    return Benchmark(
        bundle=bundle.info.name,
        provider=sessions["unet"].provider,
        size=(work.height, work.width),
        sampler=work.sampler,
        steps=work.steps,
        guidance_scale=work.guidance_scale,
        ceiling=ceiling,
        components=components,
        throughput=throughput,
        peak_memory=peak_memory(),
    )


def requests(work: Workload, count: int) -> list[tuple[int, RenderRequest]]:
    """`count` pictures of different prompts and seeds, otherwise alike."""
    return [
        (
            number,
            RenderRequest(
                PROMPT.format(number=number),
                number,
                work.height,
                work.width,
                work.sampler,
                work.steps,
                work.guidance_scale,
            ),
        )
        for number in range(count)
    ]


def peak_memory() -> int:
    """Bytes this process has held in memory at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB


def _calls(bundle: Bundle, work: Workload, buckets: Iterable[int]) -> Iterable[tuple[str, int, dict[str, Any]]]:
    info = bundle.info
    random = np.random.default_rng(0)
    height, width = work.height // info.vae_scale_factor, work.width // info.vae_scale_factor

    def normal(*shape: int) -> Any:
        return random.standard_normal(shape, dtype=np.float32)

    for encoder in info.text_encoders:
        ids = np.zeros((1, info.max_tokens), dtype=np.int64)
        yield encoder.component, 1, {"input_ids": ids}
    for rows in buckets:
        inputs = {
            "sample": normal(rows, info.unet_in_channels, height, width),
            "timestep": np.linspace(999, 1, rows, dtype=np.float32),
            "encoder_hidden_states": normal(rows, info.max_tokens, info.cross_attention_dim),
        }
        if added := info.added_conditioning:
            inputs["text_embeds"] = normal(rows, added.pooled_size)
            inputs["time_ids"] = np.full((rows, added.time_ids), 512, dtype=np.float32)
        yield "unet", rows, inputs
    for rows in (1, 4):
        yield "vae_decoder", rows, {"latents": normal(rows, info.latent_channels, height, width)}


def _timed(call: Callable[[], Any], limit: float) -> list[float]:
    """Seconds of each call, after one that warms up, within `limit` seconds but at least three."""
    call()
    seconds: list[float] = []
    end = time.perf_counter() + limit
    while time.perf_counter() < end or len(seconds) < 3:
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return seconds


def _timing(
    bundle: Bundle,
    component: str,
    rows: int,
    inputs: Mapping[str, Any],
    seconds: Sequence[float],
    ceiling: Ceiling | None,
) -> Timing:
    shapes: dict[str, Shape] = {name: array.shape for name, array in inputs.items()}
    try:
        flops = graph_flops(bundle.file(f"{component}.onnx"), shapes)
    except ValueError:
        flops = None  # a graph whose shapes depend on values: its time is still worth knowing
    found = spread(seconds)
    share = flops / (found["p50"] / 1000) / ceiling.flops if flops and ceiling else None
    gflops = flops / 1e9 if flops else None
    return Timing(component, rows, len(seconds), found["p50"], found["p90"], found["p99"], gflops, share)


class _Metered:
    """A session that adds up the seconds spent in it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.provider = session.provider
        self.seconds = 0.0

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        started = time.perf_counter()
        found = self._session.run(inputs)
        self.seconds += time.perf_counter() - started
        return found


def _throughput(bundle: Bundle, sessions: Mapping[str, Session], work: Workload, rows: int) -> Throughput:
    unet = _Metered(sessions["unet"])
    renderer = Renderer(bundle, batch_rows=rows, sessions={**sessions, "unet": unet})
    # Twice what the batch holds, so that places are refilled as in a long run.
    asked = requests(work, max(2, 2 * rows // (2 if work.guidance_scale > 1 else 1)))
    for _ in renderer.render(asked[:1]):
        pass  # the first call of an engine allocates
    unet.seconds = 0.0
    started = time.perf_counter()
    done = sum(1 for picture in renderer.render(asked) if picture.image is not None)
    elapsed = time.perf_counter() - started
    return Throughput(rows, done, done / elapsed, 1 - unet.seconds / elapsed)
