"""One opened bundle with its engines: what turns a request into conditioning, latents and pictures."""

from collections.abc import Mapping
from functools import cached_property

from latentpress.bundle.info import Bundle, RowTest
from latentpress.bundle.inputs import MICRO_BATCH
from latentpress.engines.choice import engine_of
from latentpress.engines.engine import EngineChoice, Session
from latentpress.engines.memory import HalvingSession
from latentpress.engines.opening import open_session
from latentpress.engines.row_test import known_row_test, row_bits_now, row_test_here, row_test_of
from latentpress.engines.strict import GUIDANCE_THREADS, fixed_rows, require_bits
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.pictures.decode import Decoder
from latentpress.runtime.pictures.images import ImageEncoder
from latentpress.runtime.prompts.conditioning import Conditioner
from latentpress.runtime.sampling.schedule import noise_schedule
from latentpress.runtime.sampling.solvers import SolverCache
from latentpress.runtime.timings import Stopwatch


class Model:
    """`bundle` and its engines; the ones that only some requests need are opened by the first of those.

    threads: of the engines, None for all cores; sessions: component -> a session to use instead of opening one;
    engine: opens the others, by default the one the bundle was exported for; losses: those that requests may name.
    watch: what rendering on it took.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int | None,
        sessions: Mapping[str, Session] | None = None,
        engine: EngineChoice | None = None,
        losses: Mapping[str, Loss] = LOSSES,
    ) -> None:
        self.watch = Stopwatch()
        self.bundle = bundle
        self.losses = losses
        self.info = bundle.info
        self._threads = threads
        self._engine = engine_of(bundle.info, engine)
        self._given = sessions or {}
        self._opened: dict[str, HalvingSession] = {}
        self._guidance_threads: int | None = None
        encoders = {encoder.component: self._open(encoder.component) for encoder in bundle.info.text_encoders}
        self.condition = Conditioner(bundle, encoders)
        self.unet = self._open(bundle.info.denoiser.name)
        self.decoder = Decoder(self._open(bundle.info.decoder.name), bundle.info.scaling_factor)
        self.solvers = SolverCache(noise_schedule(bundle.info.scheduler))

    @cached_property
    def images(self) -> ImageEncoder:
        """Given pictures to latents."""
        return ImageEncoder(self._open(self.info.encoder.name), self.info.scaling_factor, self.info.vae_scale_factor)

    @cached_property
    def guidance(self):
        """Loss guidance through this bundle's torch decoder."""
        from latentpress.runtime.guidance.gradient import LossGuidance, TorchDecoder

        return LossGuidance(TorchDecoder(self.bundle), self._guidance_threads, self.losses)

    @cached_property
    def row_tests(self) -> list[RowTest | None]:
        """The row tests of the two components that are called with several rows; None for one that was never tested."""
        return [
            None if component in self._given else known_row_test(self.bundle, component, self._engine)
            for component in (self.info.denoiser.name, self.info.decoder.name)
        ]

    def make_strict(self, rows: int) -> None:
        """Give every component the rows per call that its row test asks for, the UNet at most `rows`.

        A component that was not tested on this machine is tested first. Raises EnvironmentFailure for an engine that
        cannot repeat itself or differs from its test, and ParityError for one that is wrong.
        """
        self._guidance_threads = GUIDANCE_THREADS
        most = {self.info.denoiser.name: rows, self.info.decoder.name: MICRO_BATCH}
        for component in self.info.component_names:
            wanted = most.get(component, 1)
            tested = row_test_of if component in self._given else row_test_here
            held = self._open(component)
            test = tested(self.bundle, component, self._engine, held.inner, wanted)
            held.fixed = fixed_rows(test, wanted)
            size = held.fixed or 1
            require_bits(test, size, row_bits_now(self.bundle, component, self._engine, held.inner, size))

    def _open(self, component: str) -> HalvingSession:
        """The component's one session."""
        if component not in self._opened:
            session = self._given.get(component) or open_session(self.bundle, component, self._engine, self._threads)
            self._opened[component] = HalvingSession(session, component)
        return self._opened[component]
