"""Renders in this process, one bundle after the other, on the engines of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from latentpress.bundle.info import Bundle
from latentpress.engines.choice import EngineChoice, parse_engine, parse_gradient
from latentpress.errors import UsageError
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.guidance.own.trust import codes_of, refuse_untrusted
from latentpress.runtime.loop.overseer import NoOverseer, Overseer
from latentpress.runtime.request import Rendered, RenderRequest

if TYPE_CHECKING:
    from latentpress.runtime.render import Renderer

K = TypeVar("K")
# Requests that a choice of the batch looks at: what it asks is the most common size, and whether there is much to do.
_LOOKED_AT = 10_000
# Seconds. A process that computes makes progress within it even on a machine that is far too busy.
CALL_DEADLINE = 60.0
NO_LOSSES: Mapping[str, Loss] = {}


@dataclass(frozen=True)
class Settings:
    """How this machine renders.

    engine: what the graphs run on, such as "openvino:bf16", None for what each bundle was exported for; batch_rows: UNet
    rows a call takes at most, >= 1, None for what is fastest here; threads: of the engines, >= 1, None for all cores;
    decode_beside: run the VAE decoder in parallel with the UNet; strict: pin what must be pinned for a picture to depend
    on its job alone; isolated: in a process of its own, which may die or hang (supervised.py), where the system can do that;
    call_deadline: seconds that a call in it may take without any progress; allow_code: run the code of people's own losses
    also where the user's trust (guidance/own/trust.py) does not have it; gradient: what computes the gradients of losses,
    such as "openvino:bf16" or "torch", None for the engine itself in its exact precision. Raises UsageError for a number
    below 1.
    """

    engine: EngineChoice | str | None = None
    batch_rows: int | None = None
    threads: int | None = None
    decode_beside: bool = False
    strict: bool = False
    isolated: bool = False
    call_deadline: float = CALL_DEADLINE
    allow_code: bool = False
    gradient: EngineChoice | str | None = None

    def __post_init__(self) -> None:
        for name in ("batch_rows", "threads"):
            if (count := getattr(self, name)) is not None and count < 1:
                raise UsageError(f"{name} is {count}; it must be at least 1, or None for what is best here")
        if self.call_deadline <= 0:
            raise UsageError(f"call_deadline is {self.call_deadline}; it must be above 0 seconds")

    @property
    def choice(self) -> EngineChoice | None:
        """The engine asked for; raises UsageError for one that is unknown."""
        return parse_engine(self.engine) if isinstance(self.engine, str) else self.engine

    @property
    def gradient_choice(self) -> EngineChoice | None:
        """What was asked for to compute the gradients of losses; raises UsageError for what cannot."""
        return parse_gradient(self.gradient) if isinstance(self.gradient, str) else self.gradient


class Closable(Protocol):
    """What can be let go."""

    def close(self) -> None:
        """Let it go."""
        ...


class Engines:
    """The engines opened last: one bundle's, and its refiners'. Executors that share this go on with what is open.

    Several manifests on one bundle then load it once. process: the executor whose process holds them, where that is not
    this one.
    """

    def __init__(self) -> None:
        self.renderer: Renderer | None = None
        self.process: Closable | None = None
        self._asked: object = None

    def close(self) -> None:
        """Let them go."""
        self.renderer = None
        if self.process is not None:
            self.process.close()

    def open(self, asked: object, make: Callable[[], Renderer]) -> Renderer:
        """The renderer that is open if it was `asked` for in equal words, else the one that `make` gives."""
        if self.renderer is None or asked != self._asked:
            self.renderer = None  # before the next one takes its memory
            self.renderer, self._asked = make(), asked
        return self.renderer


class LocalExecutor:
    """An executor of `bundles` (hash -> bundle). It holds the engines of one bundle, and of its refiners, at a time.

    cache: where it remembers how many rows a call should take; say: hears, in a sentence each, what people should know;
    engines: those that executors before it opened, by default none; losses: people's own that are at hand, by the key of
    their code; others are loaded from where they lie, if they may be.
    """

    def __init__(
        self,
        bundles: Mapping[str, Bundle],
        settings: Settings,
        cache: Path,
        say: Callable[[str], None],
        engines: Engines | None = None,
        losses: Mapping[str, Loss] = NO_LOSSES,
    ) -> None:
        self._bundles, self._settings, self._cache, self._say = bundles, settings, cache, say
        self._losses = losses
        self._allowed = {loss.code.sha256 for loss in losses.values() if loss.code}
        self._engines = engines or Engines()
        self._own = _Stoppable()

    @property
    def rows(self) -> int:
        """UNet rows that a call of what was opened takes at most."""
        return self._opened.batch_rows

    @rows.setter
    def rows(self, rows: int) -> None:
        self._opened.batch_rows = rows

    def open(self, bundle: str, requests: Iterable[RenderRequest]) -> str:
        """Open the engines of the bundle with this hash for such requests; returns the row rule of what they render.

        Raises EnvironmentFailure, UsageError or BundleError for engines that cannot be had.
        """
        from latentpress.runtime.bucket import DEFAULT_ROWS, choose_rows, note_calibration
        from latentpress.runtime.render import Renderer
        from latentpress.runtime.timings import Measured, clock, remember_timings, timings_file

        settings = self._settings
        work: list[RenderRequest] = []
        refiners: set[str] = set()
        for request in requests:
            if len(work) < _LOOKED_AT:
                work.append(request)
            elif len(self._bundles) == 1:
                break  # else a later one may name a refiner
            if request.refiner:
                refiners.add(request.refiner.sha256)
        for _ in self._permitted(enumerate(work)):
            pass
        if any(request.losses for request in work):
            import_module(
                "latentpress.runtime.guidance.gradient"
            )  # a missing torch is told before anything is rendered
        choice = settings.choice

        def opened() -> Renderer:
            began = clock()
            renderer = Renderer(
                self._bundles[bundle],
                batch_rows=settings.batch_rows or DEFAULT_ROWS,
                threads=settings.threads,
                refiners=tuple(one for digest, one in self._bundles.items() if digest in refiners),
                engine=choice,
                decode_beside=settings.decode_beside,
                strict=settings.strict,
                losses={**LOSSES, **self._losses},
                gradient=settings.gradient_choice,
                cache=self._cache,
            )
            renderer.add_time(Measured("load"), clock() - began)
            return renderer

        plain = replace(settings, engine=str(choice), gradient=str(settings.gradient_choice))
        asked = bundle, refiners, plain, list(self._losses.values())
        renderer = self._engines.open(asked, opened)
        if any(request.losses for request in work) and (told := renderer.open_guidance()):
            self._say(f"warning: {told}")
        if renderer.warning:
            self._say(renderer.warning)
        if settings.batch_rows is None or renderer.fixed_rows:
            self._say(choose_rows(renderer, work, self._cache, settings.threads))
        note_calibration(renderer, work, self._cache, settings.threads)
        remember_timings(timings_file(self._cache), renderer.timings())  # for the estimate that is made next
        return renderer.row_rule

    def render(
        self, requests: Iterable[tuple[K, RenderRequest]], overseer: Overseer | None = None
    ) -> Iterator[Rendered[K]]:
        """Each picture of `requests`, on the bundle that was opened last; what they take is kept for estimates."""
        from latentpress.runtime.timings import Measured, clock

        self._own.stopped = False
        with self._kept(self._opened) as renderer:
            for rendered in renderer.render(self._permitted(requests), overseer=overseer or self._own):
                handed = clock()
                yield rendered
                renderer.add_time(Measured("between"), clock() - handed)

    def _permitted(self, requests: Iterable[tuple[K, RenderRequest]]) -> Iterator[tuple[K, RenderRequest]]:
        """`requests`; raises UsageError for one with a loss whose code may not run."""
        for key, request in requests:
            if asked := codes_of([request]).keys() - self._allowed:
                codes = codes_of([request])
                refuse_untrusted({sha256: codes[sha256] for sha256 in asked}, allow=self._settings.allow_code)
                self._allowed |= asked
            yield key, request

    @contextlib.contextmanager
    def _kept(self, renderer: Renderer) -> Generator[Renderer]:
        """`renderer`, whose timings are kept in the cache when it is done with."""
        from latentpress.runtime.timings import remember_timings, timings_file

        try:
            yield renderer
        finally:
            remember_timings(timings_file(self._cache), renderer.timings())

    def stop(self) -> None:
        """Begin no more pictures; those that were begun still come."""
        self._own.stopped = True

    @property
    def _opened(self) -> Renderer:
        assert self._engines.renderer is not None, "render was called before open"
        return self._engines.renderer


class _Stoppable(NoOverseer):
    """Lets pictures begin until it is stopped."""

    stopped = False

    def going(self) -> bool:
        return not self.stopped
