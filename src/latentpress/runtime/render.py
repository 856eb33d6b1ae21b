"""Requests in, pictures out: the runtime's front door, which runs the denoising loop over one bundle, or two.

Where requests name an SDXL refiner, the base runs a block of pictures up to the hand-over, the refiner the rest.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path

from latentpress.bundle.info import Bundle, RowTest
from latentpress.bundle.inputs import example_inputs
from latentpress.engines.devices import device_name
from latentpress.engines.engine import EngineChoice, Session, provider_of
from latentpress.engines.keys import package_versions
from latentpress.engines.strict import ANY_ROWS, row_rule, warning
from latentpress.errors import UsageError
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.loop.denoise import denoise
from latentpress.runtime.loop.failure import failure_of
from latentpress.runtime.loop.finish import Finisher, failed
from latentpress.runtime.loop.model import Model
from latentpress.runtime.loop.modes import begin, hand_over
from latentpress.runtime.loop.overseer import NoOverseer, Overseer
from latentpress.runtime.loop.timed import TimedGuidance, timed_decoder, timed_turns
from latentpress.runtime.loop.trajectory import Trajectory
from latentpress.runtime.request import K, Origin, Rendered, RenderRequest
from latentpress.runtime.timings import Measured, Timings, timings_key
from latentpress.version import __version__

# Pictures that the base runs before the refiner takes them over. Their latents wait in memory (67 MB at 1024x1024), and
# the last few of each block run in smaller batches.
BLOCK = 256
_BEGINNING = "reading the prompt and the given picture"


class Renderer:
    """Renders requests through one bundle's engines, and those of the refiners that requests name.

    batch_rows: UNet rows a call takes at most, >= 1; threads: of the engines, None for all cores;
    sessions: component -> a session to use instead of opening one; engine: what the other components run on,
    by default what each bundle was exported for;
    losses: those that requests may name, by default the built-in ones; gradient: what computes their gradients, by default
    the engine itself, in its exact precision (engines/choice.py); cache: the folder where graphs of these are kept, None to
    make them for this process alone;
    decode_beside: run the VAE decoder in a thread, in parallel with the UNet, rather than between its calls;
    strict: give each engine the rows per call that its row test asks for, so that a picture depends on its request alone
    (and on `fixed_rows`, where that is a number). Raises EnvironmentFailure if an engine cannot guarantee that.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        batch_rows: int = 8,
        threads: int | None = None,
        sessions: Mapping[str, Session] | None = None,
        refiners: Sequence[Bundle] = (),
        engine: EngineChoice | None = None,
        decode_beside: bool = False,
        strict: bool = False,
        losses: Mapping[str, Loss] = LOSSES,
        gradient: EngineChoice | None = None,
        cache: Path | None = None,
    ) -> None:
        if batch_rows < 1:
            raise UsageError(f"batch rows is {batch_rows}; the UNet needs at least 1")
        self.bundle = bundle
        rest = partial(Model, engine=engine, losses=losses, gradient=gradient, cache=cache)
        self._model = rest(bundle, threads, sessions)
        self._refiners = {refiner.hash: rest(refiner, threads) for refiner in refiners}
        self._device = device_name(gpu=self.engine.kind.on_gpu)
        self._versions = f"latentpress {__version__}, {package_versions(self.engine)}"
        self._beside, self._threads = decode_beside, threads
        self._strict = strict
        self.batch_rows = batch_rows

    @property
    def engine(self) -> EngineChoice:
        """What the UNet runs on."""
        return self._model.unet.engine

    @property
    def provider(self) -> str:
        """The same as the ledger has it, e.g. onnxruntime-cuda-graphs."""
        return provider_of(self._model.unet)

    @property
    def batch_rows(self) -> int:
        """The most UNet rows per call: as many as were asked for, or fewer once memory ran out."""
        return min(model.unet.fixed or model.unet.limit or 1 for model in self._models)

    @batch_rows.setter
    def batch_rows(self, rows: int) -> None:
        for model in self._models:
            model.unet.limit = rows
            if self._strict:
                model.make_strict(rows)

    @property
    def fixed_rows(self) -> int | None:
        """The rows that every call of the UNet has, because --strict needs it; None where their number does not matter."""
        fixed = [model.unet.fixed for model in self._models if model.unet.fixed is not None]
        return min(fixed) if fixed else None

    @property
    def row_rule(self) -> str:
        """What the pixels depend on besides the requests: one of the rules in `strict`, or `fixed_rows` as text."""
        if self._strict:
            return str(self.fixed_rows or ANY_ROWS)
        return row_rule(self._row_tests)

    @property
    def origin(self) -> Origin:
        """What a picture finished by now was made on; `batch_rows` falls where memory runs out."""
        return Origin(self.provider, self.batch_rows, self.row_rule, self._device, self._versions, self._gradient)

    @property
    def _gradient(self) -> str:
        """What computes the gradients, as far as it is open; several where a refiner's are computed elsewhere."""
        return "+".join(dict.fromkeys(one.gradient for one in self._models if one.gradient))

    @property
    def warning(self) -> str | None:
        """One sentence where pixels may move with what is rendered beside them; never with `strict`."""
        return None if self._strict else warning(self._row_tests)

    @property
    def _models(self) -> tuple[Model, ...]:
        return self._model, *self._refiners.values()

    @property
    def _row_tests(self) -> list[RowTest | None]:
        return [test for model in self._models for test in model.row_tests]

    def timings(self) -> dict[str, Timings]:
        """What was measured since the last time this was asked, by the key that it is kept under."""
        found: dict[str, Timings] = {}
        for model in self._models:
            found[timings_key(model.bundle, self.engine, self._threads)] = model.watch.taken()
        return found

    def add_time(self, what: Measured, seconds: float, count: int = 1) -> None:
        """Note what else took time, outside the engines."""
        self._model.watch.add(what, seconds, count)

    def open_guidance(self) -> str:
        """Load what guides by losses, unless it is loaded: before a picture waits for it, and timed.

        Returns, in a sentence, why torch computes the gradients where an engine was to; "" where all is as it was to be.
        """
        for model in self._models:
            if "guidance" not in vars(model):
                with self._model.watch.measure(Measured("guidance")):
                    _ = model.guidance
        return next((model.torch_instead for model in self._models if model.torch_instead), "")

    def trial(self, height: int, width: int) -> Callable[[int], None]:
        """A function that calls the UNet once with that many rows of some input, to time it or to see whether it fits.

        height, width: of the pictures, in pixels. What the engine raises is not caught.
        """
        info = self.bundle.info
        size = height // info.vae_scale_factor, width // info.vae_scale_factor
        inputs = lru_cache(1)(lambda rows: example_inputs(info, info.denoiser.name, rows, size))

        def call(rows: int) -> None:
            self._model.unet.unlimited(inputs(rows))

        return call

    def render(
        self,
        requests: Iterable[tuple[K, RenderRequest]],
        on_turn: Callable[[int], None] | None = None,
        overseer: Overseer | None = None,
    ) -> Iterator[Rendered[K]]:
        """Each picture as it finishes, in any order; `on_turn` is called with the rows of each UNet call.

        A picture that comes out NaN or infinite, whose given picture cannot be read, that does not fit into memory, or that
        something raises for, carries an `error`, and the others go on. Those that `overseer` has not begun do not come.
        """
        work = by_size(requests, self._model.condition.chunks)
        heard = on_turn or (lambda rows: None)
        overseer = overseer or NoOverseer()
        refined = any(request.refiner for _, request in work)
        for start in range(0, len(work), BLOCK if refined else max(1, len(work))):
            block = work[start : start + BLOCK] if refined else work
            waiting: list[Trajectory[K]] = []
            yield from self._base(block, heard, waiting, overseer)
            for digest, group in groupby(sorted(waiting, key=_refiner_of), _refiner_of):
                yield from self._refine(self._refiners[digest], list(group), heard, overseer)

    def _base(
        self,
        work: Sequence[tuple[K, RenderRequest]],
        on_turn: Callable[[int], None],
        waiting: list[Trajectory[K]],
        overseer: Overseer,
    ) -> Iterator[Rendered[K]]:
        """Run `work` on the bundle; pictures done are yielded, those for a refiner put into `waiting`."""

        def begun(key: K, request: RenderRequest) -> Trajectory[K]:
            return begin(self._model, key, request)

        lost: list[Rendered[K]] = []
        guided = any(request.losses for _, request in work)
        queue = self._begun(((key, request) for key, request in work if overseer.going()), begun, lost, overseer)
        for finished in self._run(self._model, queue, lost, guided, on_turn, overseer):
            if isinstance(finished, Rendered):
                yield finished
            else:
                waiting.append(finished)

    def _refine(
        self, model: Model, waiting: list[Trajectory[K]], on_turn: Callable[[int], None], overseer: Overseer
    ) -> Iterator[Rendered[K]]:
        trajectories = {trajectory.key: trajectory for trajectory in waiting}

        def begun(key: K, request: RenderRequest) -> Trajectory[K]:
            return hand_over(trajectories[key], model)

        lost: list[Rendered[K]] = []
        guided = any(trajectory.request.losses for trajectory in waiting)
        queue = self._begun(((one.key, one.request) for one in waiting), begun, lost, overseer)
        for finished in self._run(model, queue, lost, guided, on_turn, overseer, last=True):
            if isinstance(finished, Rendered):
                yield finished

    def _run(
        self,
        model: Model,
        queue: Iterable[Trajectory[K]],
        lost: list[Rendered[K]],
        guided: bool,
        on_turn: Callable[[int], None],
        overseer: Overseer,
        *,
        last: bool = False,
    ) -> Iterator[Rendered[K] | Trajectory[K]]:
        """Run `queue` through `model`: pictures, what `lost` gets meanwhile, and, unless `last`, what is for a refiner."""
        guidance = TimedGuidance(model) if guided else None
        # In parallel it costs the others what nobody can tell.
        decode = model.decoder if self._beside else timed_decoder(model)
        encode = model.encode if guided else None
        with Finisher[K](decode, model.losses, encode, beside=self._beside, overseer=overseer) as finisher:
            for turn in timed_turns(model, denoise(queue, model.unet, guidance, self.batch_rows, overseer)):
                on_turn(turn.rows)
                lost += [failed(trajectory, self.origin, why) for trajectory, why in turn.failed]
                if not last:
                    yield from (trajectory for trajectory in turn.finished if trajectory.request.refiner)
                if done := [trajectory for trajectory in turn.finished if last or not trajectory.request.refiner]:
                    finisher.put(done, self.origin)
                yield from finisher.ready()
                while lost:
                    yield lost.pop()
            yield from finisher.rest()
        yield from lost

    def _begun(
        self,
        work: Iterable[tuple[K, RenderRequest]],
        begun: Callable[[K, RenderRequest], Trajectory[K]],
        lost: list[Rendered[K]],
        overseer: Overseer,
    ) -> Iterator[Trajectory[K]]:
        """The trajectories of `work`; of a request that cannot be begun, `lost` hears why."""
        for key, request in work:
            started = time.perf_counter()
            overseer.begins(_BEGINNING, (key,))
            part = "begin" if request.init_image is None else "read"
            try:
                with self._model.watch.measure(Measured(part, request.height, request.width)):
                    trajectory = begun(key, request)
            except Exception as error:
                why = failure_of(error, _BEGINNING, request)
                seconds = time.perf_counter() - started
                lost.append(Rendered(key, None, why.error, seconds, self.origin, cause=why.cause))
            else:
                yield trajectory


def by_size(
    requests: Iterable[tuple[K, RenderRequest]], chunks: Callable[[RenderRequest], int]
) -> list[tuple[K, RenderRequest]]:
    """Pictures of one size and number of chunks together, for only they can share a call; else in the order given."""
    groups: dict[tuple[int, int, int], list[tuple[K, RenderRequest]]] = {}
    for key, request in requests:
        groups.setdefault((request.height, request.width, chunks(request)), []).append((key, request))
    return [one for group in groups.values() for one in group]


def _refiner_of(trajectory: Trajectory[K]) -> str:
    assert trajectory.request.refiner is not None, "only pictures for a refiner wait for one"
    return trajectory.request.refiner.sha256
