"""Times a bundle's components and whole renders at several buckets."""

import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from latentpress.bench.ceiling import Ceiling
from latentpress.bench.flops import Shape, graph_flops, spread
from latentpress.bundle.components import Role
from latentpress.bundle.info import Bundle
from latentpress.bundle.inputs import MICRO_BATCH, Array, example_inputs
from latentpress.engines.engine import EngineChoice, Session, provider_of
from latentpress.engines.memory import is_out_of_memory
from latentpress.errors import EnvironmentFailure
from latentpress.runtime.limits import Limits
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest

PROMPT = "a photograph of a red kite over the sea, number {number}"


@dataclass(frozen=True)
class Timing:
    """One component at one number of rows: milliseconds at the 50th, 90th and 99th percentile, calls timed.

    role: of the component;
    gflops: what one call computes; share: of the ceiling, at the median; None where either is not known.
    """

    component: str
    role: Role
    rows: int
    calls: int
    p50: float
    p90: float
    p99: float
    gflops: float | None
    share: float | None


@dataclass(frozen=True)
class Throughput:
    """Whole renders at one bucket: images per second, and the share of the time spent outside the UNet, 0..1.

    peak_memory: bytes this process has held at most by the end of them.
    """

    rows: int
    images: int
    images_per_second: float
    outside_unet: float
    peak_memory: int


@dataclass(frozen=True)
class Benchmark:
    """What `latentpress bench` found.

    threads: of the engines, None for all cores; size: (height, width); repeats: timed calls of each component;
    peak_memory: bytes this process held at most; peak_device_memory: bytes in use on the GPU, by all processes, at
    most, None on a CPU; notes: what was left out, and why.
    """

    bundle: str
    bundle_hash: str
    provider: str
    device: str
    threads: int | None
    size: tuple[int, int]
    sampler: str
    steps: int
    guidance_scale: float
    repeats: int
    ceiling: Ceiling | None
    components: list[Timing]
    throughput: list[Throughput]
    peak_memory: int
    peak_device_memory: int | None
    notes: list[str]


@dataclass(frozen=True)
class Workload:
    """What is rendered, and how many calls of each component are timed."""

    height: int
    width: int
    sampler: str
    steps: int
    guidance_scale: float
    repeats: int


def run_benchmark(
    bundle: Bundle,
    work: Workload,
    buckets: Sequence[int],
    *,
    sessions: Mapping[str, Session],
    device: str,
    ceiling: Callable[[], Ceiling | None] = lambda: None,
    threads: int | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Benchmark:
    """Measure `bundle` on `sessions`, its opened components; buckets: the numbers of UNet rows tried, rising.

    ceiling: asked before and after each bucket, and the highest counts, for a machine is not equally fast at all times.
    `report` hears what is being measured. A bucket that does not fit into memory is noted, and larger ones are not tried;
    raises EnvironmentFailure where the first does not fit.
    """
    components: list[Timing] = []
    throughput: list[Throughput] = []
    notes: list[str] = []
    gpu_memory = [used for used in (device_memory(),) if used is not None]
    refusal = Limits(bundle.info, {}).refusal(requests(work, 1)[0][1])
    if refusal:
        notes.append(f"no whole renders: {refusal[1]}")
    denoiser = bundle.info.denoiser.name
    unet = _Metered(sessions[denoiser])
    renderer = None if refusal else Renderer(bundle, sessions={**sessions, denoiser: unet})
    ceilings = [ceiling()]
    for rows in buckets:
        try:
            for component, inputs in _calls(bundle, work, rows):
                if any(timing.component == component and timing.rows == _rows(inputs) for timing in components):
                    continue
                report(f"{component}, {counted(_rows(inputs))}")
                components.append(_timing(bundle, component, sessions[component], inputs, work.repeats))
            if renderer is not None:
                report(f"whole renders, {counted(rows)}")
                throughput.append(_throughput(renderer, unet, work, rows))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if rows == buckets[0]:
                raise EnvironmentFailure(
                    f"{rows} rows at {work.width}x{work.height} do not fit into memory; take a smaller --size or --buckets"
                ) from error
            notes.append(f"{rows} rows do not fit into memory; larger buckets were not tried")
            break
        gpu_memory += [used for used in (device_memory(),) if used is not None]
        ceilings.append(ceiling())
    highest = max((one for one in ceilings if one is not None), key=lambda one: one.flops, default=None)
    return Benchmark(
        bundle=bundle.info.name,
        bundle_hash=bundle.hash,
        provider=provider_of(sessions[denoiser]),
        device=device,
        threads=threads,
        size=(work.height, work.width),
        sampler=work.sampler,
        steps=work.steps,
        guidance_scale=work.guidance_scale,
        repeats=work.repeats,
        ceiling=highest,
        components=[_shared(timing, highest) for timing in components],
        throughput=throughput,
        peak_memory=peak_memory(),
        peak_device_memory=max(gpu_memory, default=None),
        notes=notes,
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


def device_memory() -> int | None:
    """Bytes in use on the GPU just now, by all processes; None without one."""
    import torch

    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    return total - free


def _calls(bundle: Bundle, work: Workload, rows: int) -> Iterable[tuple[str, dict[str, Array]]]:
    """The calls of one bucket; the decoder is given no more rows than a render gives it."""
    info = bundle.info
    size = work.height // info.vae_scale_factor, work.width // info.vae_scale_factor
    for component in info.components:
        if component.role != "encoder":
            count = min(rows, MICRO_BATCH) if component.role == "decoder" else rows
            yield component.name, example_inputs(info, component.name, count, size)


def counted(rows: int) -> str:
    """1 row, 2 rows."""
    return f"{rows} row{'' if rows == 1 else 's'}"


def _rows(inputs: Mapping[str, Array]) -> int:
    return len(next(iter(inputs.values())))


def _timing(
    bundle: Bundle,
    component: str,
    session: Session,
    inputs: Mapping[str, Array],
    repeats: int,
) -> Timing:
    for _ in range(2):  # the first call allocates, on a GPU the second captures
        session.run(inputs)
    seconds: list[float] = []
    for _ in range(repeats):
        started = time.perf_counter()
        session.run(inputs)
        seconds.append(time.perf_counter() - started)
    shapes: dict[str, Shape] = {name: array.shape for name, array in inputs.items()}
    try:
        flops = graph_flops(bundle.file(f"{component}.onnx"), shapes)
    except ValueError:
        flops = None  # a graph whose shapes depend on values: its time is still worth knowing
    found = spread(seconds)
    gflops = flops / 1e9 if flops else None
    role = bundle.info.component(component).role
    return Timing(component, role, _rows(inputs), len(seconds), found["p50"], found["p90"], found["p99"], gflops, None)


def _shared(timing: Timing, ceiling: Ceiling | None) -> Timing:
    """`timing` with its share of the ceiling, if both are known."""
    if timing.gflops is None or ceiling is None:
        return timing
    return replace(timing, share=timing.gflops * 1e9 / (timing.p50 / 1000) / ceiling.flops)


class _Metered:
    """A session that adds up the seconds spent in it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.seconds = 0.0

    @property
    def engine(self) -> EngineChoice:
        return self._session.engine

    @property
    def note(self) -> str:
        return self._session.note

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        started = time.perf_counter()
        found = self._session.run(inputs)
        self.seconds += time.perf_counter() - started
        return found


def _throughput(renderer: Renderer, unet: _Metered, work: Workload, rows: int) -> Throughput:
    renderer.batch_rows = rows
    # Twice what the batch holds, so that places are refilled as in a long run.
    two = work.guidance_scale > 1 and renderer.bundle.info.guidance_embedding is None
    asked = requests(work, max(2, 2 * rows // (2 if two else 1)))
    # All of them in a few steps: the first calls of every size that comes allocate, and on a GPU they tune and capture.
    for _ in renderer.render((key, replace(request, steps=min(3, request.steps))) for key, request in asked):
        pass
    unet.seconds = 0.0
    started = time.perf_counter()
    done = sum(1 for picture in renderer.render(asked) if picture.image is not None)
    elapsed = time.perf_counter() - started
    if renderer.batch_rows < rows:
        raise MemoryError  # halved on the way: what was timed is another bucket
    return Throughput(rows, done, done / elapsed, 1 - unet.seconds / elapsed, peak_memory())
