"""One opened bundle with its engines: what turns a request into conditioning, latents and pictures."""

from collections.abc import Mapping
from functools import cached_property

from latentpress.runtime.bundle import Bundle
from latentpress.runtime.conditioning import Conditioner
from latentpress.runtime.decode import Decoder
from latentpress.runtime.engines.choice import EngineChoice, engine_of
from latentpress.runtime.engines.opening import open_session
from latentpress.runtime.images import ImageEncoder
from latentpress.runtime.memory import HalvingSession
from latentpress.runtime.schedule import noise_schedule
from latentpress.runtime.session import Session
from latentpress.runtime.solvers import SolverCache


class Model:
    """`bundle` and its engines; the ones that only some requests need are opened by the first of those.

    threads: of the engines, None for all cores; sessions: given instead of opened, by component; engine: what opens
    the others, by default the one the bundle was exported for.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int | None,
        sessions: Mapping[str, Session] | None = None,
        engine: EngineChoice | None = None,
    ) -> None:
        self.bundle = bundle
        self.info = bundle.info
        self._threads = threads
        self._engine = engine_of(bundle.info, engine)
        self._given = sessions or {}
        encoders = {encoder.component: self._open(encoder.component) for encoder in bundle.info.text_encoders}
        self.condition = Conditioner(bundle, encoders)
        self.unet = self._open("unet")
        self.decoder = Decoder(self._open("vae_decoder"), bundle.info.scaling_factor)
        self.solvers = SolverCache(noise_schedule(bundle.info.scheduler))

    @cached_property
    def images(self) -> ImageEncoder:
        """Given pictures to latents."""
        return ImageEncoder(self._open("vae_encoder"), self.info.scaling_factor, self.info.vae_scale_factor)

    @cached_property
    def guidance(self):
        """Loss guidance through this bundle's torch decoder."""
        from latentpress.runtime.guidance.gradient import LossGuidance, TorchDecoder

        return LossGuidance(TorchDecoder(self.bundle))

    def _open(self, component: str) -> HalvingSession:
        session = self._given.get(component) or open_session(self.bundle, component, self._engine, self._threads)
        return HalvingSession(session, component)
