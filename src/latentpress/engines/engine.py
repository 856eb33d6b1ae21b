"""What an engine is: one object that holds all the program asks of one, an engine as it was chosen, and its sessions.

Engines lie in files of their own, and table.py lists them. Nothing here knows one by its name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from latentpress.bundle.info import Bundle, Flavour, Precision
from latentpress.bundle.inputs import Array
from latentpress.engines import devices
from latentpress.engines.devices import Gpu, Machine
from latentpress.engines.shapes import ShapeProfile

# Of the largest value of torch's output. Measured float32 graphs differ by 1e-7 to 1e-5, float16 ones by 1e-3, bfloat16
# ones by 1e-2; a wrong graph by more than 1e-1.
BOUNDS: dict[Precision, float] = {"fp32": 1e-3, "fp16": 2e-2, "bf16": 8e-2}


class Session(Protocol):
    """One component: named arrays in, its named outputs out. The first axis of every array is the batch."""

    @property
    def engine(self) -> "EngineChoice":
        """What it runs on."""
        ...

    @property
    def note(self) -> str:
        """How it runs there, if that can differ, e.g. `graphs` where CUDA graphs are captured; empty otherwise."""
        ...

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The component's outputs for `inputs`, by the names `bundle.info` gives them."""
        ...


@dataclass(frozen=True)
class Place:
    """Where an engine runs. target: `cpu`, or a GPU's architecture (sm89); gpu: that GPU, None where it is elsewhere."""

    target: str
    gpu: Gpu | None = None


@dataclass(frozen=True)
class KeyParts:
    """What makes an engine stale beside the graph, the precision, the packages and the shapes, which do so for all.

    device: a GPU's name and architecture, or the architecture alone where an engine serves every GPU of it, or the CPU's
    name; driver: for engines tuned on the GPU; options: those that shape the engine, without paths and pointers.
    """

    device: str
    driver: str = "none"
    options: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Finding:
    """One engine: whether it can run here, why or why not, and the command that would add what is missing, if one can."""

    engine: str
    ready: bool
    why: str
    install: str | None = None


@dataclass(frozen=True)
class Refusal:
    """A precision in which an engine runs no graph, why, and the options to use instead."""

    precision: Precision
    why: str
    way_out: str


@dataclass(frozen=True)
class BuiltComponent:
    """A component's built engine. profile: the shapes it takes; folder: of its files; place: what it is built for."""

    bundle: Bundle
    component: str
    profile: ShapeProfile
    folder: Path
    place: Place

    @property
    def graph(self) -> Path:
        """The ONNX file it is built from."""
        return self.bundle.file(f"{self.component}.onnx")


@dataclass(frozen=True)
class Built:
    """How an engine that is built ahead of time is built and opened.

    build: makes the folder, writes the engine's files into it, and returns them, with the session where building opened one;
    open: the session of files that were found whole and not stale; elsewhere: whether it can be built without the GPU
    it is for, and then serves every GPU of that architecture.
    """

    build: Callable[[BuiltComponent], tuple[list[Path], Session | None]]
    open: Callable[[BuiltComponent], Session]
    elsewhere: bool = False


def own_bound(own: Precision, bundle: Precision, asked: str | None) -> float:
    """The bound of an engine that computes a graph in the graph's own precision."""
    return BOUNDS[own]


def nothing(precision: str | None) -> str:
    """What an engine lacks for which only opening it tells."""
    return ""


def cpu_parts(bundle: Bundle, component: str, place: Place) -> KeyParts:
    """The key of an engine that reads the graph itself, on this CPU."""
    return KeyParts(devices.cpu_name())


@dataclass(frozen=True)
class Engine:
    """An engine: all that the rest of the program wants to know of it.

    name: as on the command line. stored: what the ledger and pictures call it, where that is not its name; it may never
    change.
    open: from (bundle, component, choice, threads) the component's session; or how it is built ahead. None for torch,
    whose sessions are only ever given. Imports the engine's package when it is called, not before.
    graph: from (file, choice, threads) a session of a graph that is no component of a bundle, None where it opens none.
    flavours: of graphs that it reads, the one it runs fastest first; fastest_in: precisions where another one is.
    precisions: that it can be asked for, the one it has when nobody asks first; none where the graph's is what it
    computes in. refusals: precisions of a bundle that it cannot run.
    bound: from the graph's precision, its bundle's, and the one asked for, how far it may be from torch, as a share of
    the largest value.
    one_length: built for ranges of shapes, in which a prompt has one length. packages: the distributions whose versions
    make it stale; looked_for: those the doctor lists, where they are others. install: the command that adds them.
    findings: what the doctor says of it, by default whether the first of its packages is installed.
    lacking: from the precision asked for, what this machine lacks of packages or instructions, as opening it says, "" for
    nothing; imports no package.
    key_parts: what makes it stale at a place.
    """

    name: str
    stored: str = ""
    open: "Callable[[Bundle, str, EngineChoice, int | None], Session] | Built | None" = None
    graph: "Callable[[Path, EngineChoice, int | None], Session] | None" = None
    flavours: tuple[Flavour, ...] = ("attention", "plain")
    fastest_in: tuple[tuple[Precision, Flavour], ...] = ()
    precisions: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    bound: Callable[[Precision, Precision, str | None], float] = own_bound
    on_gpu: bool = False
    one_length: bool = False
    packages: tuple[str, ...] = ()
    looked_for: tuple[str, ...] | None = None
    install: str | None = None
    findings: Callable[[Machine], list[Finding]] | None = None
    lacking: Callable[[str | None], str] = nothing
    key_parts: Callable[[Bundle, str, Place], KeyParts] = cpu_parts

    @property
    def built(self) -> bool:
        """Whether it is built ahead of time, and so can be missing or stale."""
        return isinstance(self.open, Built)

    @property
    def elsewhere(self) -> bool:
        """Whether it can be built for a GPU that is not here."""
        return isinstance(self.open, Built) and self.open.elsewhere

    def fastest(self, precision: Precision) -> Flavour:
        """The flavour of graphs in `precision` that it runs fastest."""
        return dict(self.fastest_in).get(precision, self.flavours[0])

    def refusal(self, precision: Precision) -> Refusal | None:
        """Why it runs no graph in `precision`; None where it does."""
        return next((refusal for refusal in self.refusals if refusal.precision == precision), None)

    def place(self) -> Place:
        """Where it runs on this machine; raises EnvironmentFailure for a GPU engine without a GPU."""
        if not self.on_gpu:
            return Place("cpu")
        gpu = devices.require_gpu(self.name)
        return Place(gpu.target, gpu)

    def found(self, machine: Machine) -> list[Finding]:
        """What the doctor says of it on `machine`."""
        if self.findings is not None:
            return self.findings(machine)
        if self.on_gpu and not machine.gpus:
            return [Finding(self.name, False, "no NVIDIA GPU")]
        for package in self.packages[:1]:
            if package not in machine.packages:
                return [Finding(self.name, False, f"{package} is not installed", self.install)]
        return [Finding(self.name, True, "".join(f"{name} {machine.packages[name]}" for name in self.packages[:1]))]


@dataclass(frozen=True)
class EngineChoice:
    """An engine as it was chosen. precision: one of `kind.precisions`; None for the first of them, or where it has none."""

    kind: Engine
    precision: str | None = None

    @property
    def name(self) -> str:
        """The engine's."""
        return self.kind.name

    @property
    def stored(self) -> str:
        """What ledgers and pictures call it, without the note of a session."""
        own = self.kind.stored or self.name
        return f"{own}-{self.precision or self.kind.precisions[0]}" if self.kind.precisions else own

    def __str__(self) -> str:
        return f"{self.name}:{self.precision}" if self.precision else self.name


def provider_of(session: Session) -> str:
    """What the ledger's column `provider` and a picture's `engine` say of `session`, e.g. onnxruntime-cuda-graphs."""
    return f"{session.engine.stored}-{session.note}" if session.note else session.engine.stored
