"""Measures one bundle on this machine: its components and whole pictures, in turns, while the machine is watched."""

import resource
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from latentpress.bench.ceiling import Ceiling
from latentpress.bench.conditions import Conditions, conditions
from latentpress.bench.figures import Figure, figure
from latentpress.bench.flops import Convolution, Operation, Shape, graph_operations
from latentpress.bench.jobs import JOBS, PLAIN, Work, bench_jobs
from latentpress.bench.machine import MachineState, watched
from latentpress.bench.metered import Metered
from latentpress.bench.scenarios import OFFLINE, SINGLE_STREAM, Scenario, offline, single_stream
from latentpress.bench.turns import Call, Samples, in_turns, warmed
from latentpress.bundle.components import Role
from latentpress.bundle.info import Bundle
from latentpress.bundle.inputs import MICRO_BATCH, Array, example_inputs
from latentpress.engines.engine import EngineChoice, Session, provider_of
from latentpress.engines.memory import is_out_of_memory
from latentpress.errors import EnvironmentFailure, UsageError
from latentpress.runtime.render import Renderer

# Seconds that warming up a call may take: where calls are slow, nothing is left to warm after two.
_WARM_UP = 5.0
# Shapes of convolutions that a ceiling is looked for in, those that most operations are in.
_SHAPES = 3


@dataclass(frozen=True)
class Timing:
    """One component at one number of rows, in milliseconds.

    cold: its first call; gflops: what one call computes, operations: the share of each kind in it (flops.py); share: of the
    ceiling, at the median; None where either is not known. values: of each call; yardstick: seconds of the yardstick
    (yardstick.py) beside each of them.
    """

    component: str
    role: Role
    rows: int
    cold: float
    figure: Figure
    gflops: float | None
    operations: dict[str, float] | None
    share: float | None
    values: list[float]
    yardstick: list[float]


@dataclass(frozen=True)
class Settings:
    """What is measured, and how long.

    buckets: the numbers of UNet rows tried, rising; repeats: timed calls of each component at each; seconds: that each
    scenario lasts at least, 0 for no whole pictures; jobs: of bench.jobs.JOBS; every_bucket: Offline at all buckets, not
    only at the one that is fastest per row.
    """

    work: Work
    buckets: Sequence[int]
    repeats: int = 30
    seconds: float = 60.0
    jobs: Sequence[str] = (PLAIN,)
    every_bucket: bool = False


@dataclass(frozen=True)
class Measured:
    """What `latentpress bench` found.

    graphs: component -> sha256 of its ONNX file; engine: as on the command line; options: that it is opened with;
    precision: that it computes the UNet in; provider: as ledgers have it; threads: of the engines, None for all cores;
    peak_memory: bytes this process held at most; peak_device_memory: bytes in use on the GPU, by all processes, at most,
    None on a CPU; notes: what was left out, and why.
    """

    bundle: str
    bundle_hash: str
    family: str
    graphs: dict[str, str]
    engine: str
    options: dict[str, str]
    precision: str
    provider: str
    device: str
    threads: int | None
    settings: Settings
    conditions: Conditions
    machine: MachineState
    ceiling: Ceiling | None
    components: list[Timing]
    scenarios: list[Scenario]
    peak_memory: int
    peak_device_memory: int | None
    notes: list[str] = field(default_factory=list[str])


class Bench:
    """Measures `bundle` on `sessions`, its opened components.

    ceiling: asked, with the convolutions that most of the operations are in, before and after, and the highest counts, for
    a machine is not equally fast at all times; yardstick: timed beside everything; cache: where the graphs of the losses'
    gradients are kept, as `Renderer` has it; report: hears what is being measured.
    """

    def __init__(
        self,
        bundle: Bundle,
        sessions: Mapping[str, Session],
        *,
        choice: EngineChoice,
        device: str,
        yardstick: Call,
        ceiling: Callable[[Sequence[Convolution]], Ceiling | None] = lambda shapes: None,
        threads: int | None = None,
        cache: Path | None = None,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._bundle, self._choice, self._threads, self._cache = bundle, choice, threads, cache
        self._device, self._yardstick, self._ceiling, self._report = device, yardstick, ceiling, report
        name = bundle.info.denoiser.name
        self._unet = Metered(sessions[name])
        self._sessions: dict[str, Session] = {**sessions, name: self._unet}
        self._notes: list[str] = []

    def run(self, settings: Settings) -> Measured:
        """Measure. A bucket that does not fit into memory is noted, and larger ones are not tried; so is a job that the
        bundle cannot render.

        Raises EnvironmentFailure where the first bucket does not fit.
        """
        info, memory, place = self._bundle.info, [device_memory()], self._choice.kind.place()
        with watched(gpu=self._choice.kind.on_gpu) as state:
            samples = self._components(settings)
            memory.append(device_memory())
            scenarios = self._scenarios(settings, samples)
            seen = state()
        operations = {key: self._operations(*key, settings.work) for key in samples}
        shapes = _largest(operations[max(operations, key=lambda key: (key[0] == info.denoiser.name, key[1]))] or [])
        ceilings = [self._ceiling(shapes), self._ceiling(shapes)]
        highest = max((one for one in ceilings if one is not None), key=lambda one: one.flops, default=None)
        memory.append(device_memory())
        return Measured(
            bundle=info.name,
            bundle_hash=self._bundle.hash,
            family=info.family,
            graphs={name: info.files[f"{name}.onnx"] for name in info.component_names},
            engine=str(self._choice),
            options=dict(self._choice.kind.key_parts(self._bundle, info.denoiser.name, place).options),
            precision=self._choice.precision or info.denoiser.precision,
            provider=provider_of(self._unet),
            device=self._device,
            threads=self._threads,
            settings=settings,
            conditions=conditions(),
            machine=seen,
            ceiling=highest,
            components=[self._timing(*key, one, operations[key], highest) for key, one in samples.items()],
            scenarios=scenarios,
            peak_memory=peak_memory(),
            peak_device_memory=max((used for used in memory if used is not None), default=None),
            notes=self._notes,
        )

    def _components(self, settings: Settings) -> dict[tuple[str, int], Samples]:
        """Each component at each bucket, warmed up and then timed in turns."""
        calls: dict[tuple[str, int], tuple[Call, Samples]] = {}
        work = settings.work
        for rows in settings.buckets:
            try:
                for component, inputs in _calls(self._bundle, work, rows):
                    key = (component, len(next(iter(inputs.values()))))
                    if key not in calls:
                        self._report(f"warming up {component}, {counted(key[1])}")
                        call = _bound(self._sessions[component], inputs)
                        calls[key] = call, warmed(call, _WARM_UP)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if rows == settings.buckets[0]:
                    raise EnvironmentFailure(
                        f"{rows} rows at {work.width}x{work.height} do not fit into memory; "
                        "take a smaller --size or --buckets"
                    ) from error
                calls = {key: one for key, one in calls.items() if key[1] < rows}
                self._notes.append(f"{rows} rows do not fit into memory; larger buckets were not tried")
                break
        self._report(f"measuring {counted(len(calls), 'call')} in turns, {settings.repeats} times each")
        return in_turns(calls, settings.repeats, self._yardstick)

    def _scenarios(self, settings: Settings, samples: Mapping[tuple[str, int], Samples]) -> list[Scenario]:
        if not settings.seconds:
            return []
        found: list[Scenario] = []
        unet = {
            rows: figure(one.seconds).median / rows for (name, rows), one in samples.items() if self._denoises(name)
        }
        buckets = sorted(unet) if settings.every_bucket else [min(unet, key=unet.__getitem__)]
        renderer = Renderer(
            self._bundle, sessions=self._sessions, threads=self._threads, engine=self._choice, cache=self._cache
        )
        with bench_jobs(self._bundle.info, settings.work, settings.jobs, self._notes) as jobs:
            for job in jobs:
                self._report(f"{SINGLE_STREAM}, {job.name}")
                found.append(single_stream(renderer, self._unet, job, settings.seconds, self._yardstick))
                for rows in buckets:
                    self._report(f"{OFFLINE}, {job.name}, {counted(rows)}")
                    try:
                        found.append(offline(renderer, self._unet, job, rows, settings.seconds, self._yardstick))
                    except MemoryError:
                        self._notes.append(f"{OFFLINE}, {job.name}: {counted(rows)} do not fit into memory")
        return found

    def _denoises(self, component: str) -> bool:
        return component == self._bundle.info.denoiser.name

    def _operations(self, component: str, rows: int, work: Work) -> list[Operation] | None:
        """None of a graph whose shapes depend on values: its time is still worth knowing."""
        inputs = dict(_calls(self._bundle, work, rows))[component]
        shapes: dict[str, Shape] = {name: array.shape for name, array in inputs.items()}
        try:
            return graph_operations(self._bundle.file(f"{component}.onnx"), shapes)
        except ValueError:
            return None

    def _timing(
        self, name: str, rows: int, samples: Samples, operations: list[Operation] | None, ceiling: Ceiling | None
    ) -> Timing:
        values = [1000 * seconds for seconds in samples.seconds]
        beside = [one for one, calls in zip(samples.yardstick, samples.rounds, strict=True) for _ in calls]
        found = figure(values)
        flops = None if operations is None else sum(one.flops for one in operations)
        share = None if not flops or ceiling is None else flops / (found.median / 1000) / ceiling.flops
        kinds: dict[str, float] = {}
        for one in operations or []:
            kinds[one.kind] = kinds.get(one.kind, 0.0) + one.flops
        shares = {kind: count / flops for kind, count in kinds.items()} if flops else None
        role = self._bundle.info.component(name).role
        cold, gflops = 1000 * samples.warm_up[0], flops / 1e9 if flops else None
        return Timing(name, role, rows, cold, found, gflops, shares, share, values, beside)


def check_jobs(names: Sequence[str]) -> list[str]:
    """`names`, each once; raises UsageError for one that is not of JOBS."""
    for name in names:
        if name not in JOBS:
            raise UsageError(f"--job {name!r}: must be one of {', '.join(JOBS)}")
    return list(dict.fromkeys(names))


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


def counted(count: int, what: str = "row") -> str:
    """1 row, 2 rows."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def _calls(bundle: Bundle, work: Work, rows: int) -> Iterable[tuple[str, dict[str, Array]]]:
    """The calls of one bucket; the decoder is given no more rows than a render gives it."""
    info = bundle.info
    size = work.height // info.vae_scale_factor, work.width // info.vae_scale_factor
    for component in info.components:
        if component.role != "encoder":
            count = min(rows, MICRO_BATCH) if component.role == "decoder" else rows
            yield component.name, example_inputs(info, component.name, count, size)


def _bound(session: Session, inputs: Mapping[str, Array]) -> Call:
    return lambda: session.run(inputs)


def _largest(operations: Sequence[Operation]) -> list[Convolution]:
    """The convolutions, each once, that most of the operations are in."""
    flops: dict[Convolution, float] = {}
    for one in operations:
        if one.convolution is not None:
            flops[one.convolution] = flops.get(one.convolution, 0.0) + one.flops
    return sorted(flops, key=flops.__getitem__, reverse=True)[:_SHAPES]
