"""One opened bundle with its engines: what turns a request into conditioning, latents and pictures."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from latentpress.bundle.info import Bundle, RowTest
from latentpress.bundle.inputs import MICRO_BATCH
from latentpress.engines.choice import engine_of, gradient_of
from latentpress.engines.engine import EngineChoice, Session
from latentpress.engines.memory import HalvingSession
from latentpress.engines.opening import open_session
from latentpress.engines.row_test import known_row_test, row_bits_now, row_test_here, row_test_of
from latentpress.engines.session import TORCH
from latentpress.engines.strict import GUIDANCE_THREADS, fixed_rows, require_bits
from latentpress.errors import EnvironmentFailure
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.pictures.decode import Decoder
from latentpress.runtime.pictures.images import ImageEncoder
from latentpress.runtime.prompts.conditioning import Conditioner
from latentpress.runtime.sampling.schedule import noise_schedule
from latentpress.runtime.sampling.solvers import SolverCache
from latentpress.runtime.timings import Stopwatch

if TYPE_CHECKING:  # torch is imported by the first request with a loss
    from latentpress.runtime.guidance.decoder.passes import EngineDecoder
    from latentpress.runtime.guidance.encoder import VaeEncoder
    from latentpress.runtime.guidance.gradient import LossGuidance


class Model:
    """`bundle` and its engines; the ones that only some requests need are opened by the first of those.

    threads: of the engines, None for all cores; sessions: component -> a session to use instead of opening one;
    engine: opens the others, by default the one the bundle was exported for; losses: those that requests may name;
    gradient: what computes the losses' gradients, by default as `gradient_of` says; cache: the folder where its graphs are
    kept, None to make them for this process alone.
    watch: what rendering on it took. Of it as an attribute, gradient: what computes them, as ledgers call it, "" until it is
    open; torch_instead: why torch does where an engine was to, "" where not.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int | None,
        sessions: Mapping[str, Session] | None = None,
        engine: EngineChoice | None = None,
        losses: Mapping[str, Loss] = LOSSES,
        gradient: EngineChoice | None = None,
        cache: Path | None = None,
    ) -> None:
        self.watch = Stopwatch()
        self.bundle = bundle
        self.losses = losses
        self.info = bundle.info
        self._threads = threads
        self._engine = engine_of(bundle.info, engine)
        self._given = sessions or {}
        self._opened: dict[str, HalvingSession] = {}
        self._strict = False
        self._gradient, self._cache = gradient, cache
        self.gradient = self.torch_instead = ""
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
    def guidance(self) -> "LossGuidance":
        """Loss guidance through this bundle's decoder, on an engine or in torch."""
        from latentpress.runtime.guidance.gradient import LossGuidance, TorchDecoder

        threads = GUIDANCE_THREADS if self._strict else None
        if (decoder := self._engine_decoder()) is not None:
            self.gradient = decoder.engine.stored
            return LossGuidance(decoder, threads, self.losses, decoder.rows, self.encode)
        self.gradient = TORCH.stored
        return LossGuidance(TorchDecoder(self.bundle), threads, self.losses, encode=self.encode)

    def _engine_decoder(self) -> "EngineDecoder | None":
        """The decoder of the gradients on an engine; None where torch is it. Raises EnvironmentFailure for one asked for."""
        if (choice := gradient_of(self._engine, self._gradient)).kind is TORCH:
            return None
        from latentpress.runtime.guidance.decoder.opening import Unfit, open_decoder

        try:
            return open_decoder(self.bundle, choice, self._threads, self._cache, strict=self._strict)
        except Unfit as error:
            why = f"the losses' gradients cannot be computed on {choice}: {error}"
            if self._gradient is not None:
                raise EnvironmentFailure(f"{why}; name another engine or torch for them, or none") from None
            self.torch_instead = f"torch computes them: {why}"
            return None

    @cached_property
    def encode(self) -> "VaeEncoder":
        """The features of this bundle's VAE encoder, for losses."""
        from latentpress.runtime.guidance.encoder import VaeEncoder

        return VaeEncoder(self.bundle)

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
        self._strict = True
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
