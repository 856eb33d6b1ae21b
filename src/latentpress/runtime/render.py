"""Requests in, pictures out: the runtime's front door, which wires text, denoising and decoding to one bundle."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from latentpress.errors import UsageError
from latentpress.runtime.bundle import Bundle
from latentpress.runtime.decode import Decoder
from latentpress.runtime.noise import NoiseSource
from latentpress.runtime.request import RenderRequest
from latentpress.runtime.schedule import noise_schedule
from latentpress.runtime.session import OnnxCpuSession, Session
from latentpress.runtime.solver import SolverCache
from latentpress.runtime.text import PromptTokenizer, TextEncoder
from latentpress.runtime.trajectory import K, Trajectory

COMPONENTS = ("text_encoder", "unet", "vae_decoder")


@dataclass(frozen=True, eq=False)
class Rendered(Generic[K]):
    """A finished picture, or why there is none.

    image: (H, W, 3) uint8, None where `error` says why; seconds: from its first step to its pixels, shared with its
    batch mates; losses: each loss's unscaled value on the picture.
    """

    key: K
    image: NDArray[np.uint8] | None
    error: str | None
    seconds: float
    losses: Mapping[str, float] = field(default_factory=dict[str, float])


class Renderer:
    """Renders requests through one bundle's engines.

    batch_rows: UNet rows a call takes at most, >= 2; threads: of the engines, None for all cores;
    sessions: other engines than ONNX Runtime's for some of COMPONENTS, by name.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        batch_rows: int = 8,
        threads: int | None = None,
        sessions: Mapping[str, Session] | None = None,
    ) -> None:
        if batch_rows < 2:
            raise UsageError(f"batch rows is {batch_rows}; classifier-free guidance needs at least 2")
        self.bundle = bundle
        self.batch_rows = batch_rows
        given = sessions or {}
        engines = {name: given.get(name) or OnnxCpuSession(bundle.file(f"{name}.onnx"), threads) for name in COMPONENTS}
        self._unet = engines["unet"]
        self.provider = self._unet.provider
        self.tokenizer = PromptTokenizer(bundle)
        self.encode = TextEncoder(self.tokenizer, engines["text_encoder"])
        self._decoder = Decoder(engines["vae_decoder"], bundle.info.scaling_factor)
        self._solvers = SolverCache(noise_schedule(bundle.info.scheduler))

    @cached_property
    def _guidance(self):
        from latentpress.runtime.guidance.gradient import LossGuidance, TorchDecoder

        return LossGuidance(TorchDecoder(self.bundle))

    def render(
        self,
        requests: Iterable[tuple[K, RenderRequest]],
        on_turn: Callable[[int], None] | None = None,
    ) -> Iterator[Rendered[K]]:
        """Each picture as it finishes, in any order; `on_turn` hears of each UNet call its rows.

        A picture that comes out NaN or infinite carries an `error`, and the others go on.
        """
        from latentpress.runtime.denoise import denoise

        work = list(requests)
        guidance = self._guidance if any(request.losses for _, request in work) else None
        queue = (self.begin(key, request) for key, request in work)
        for turn in denoise(queue, self._unet, guidance, self.batch_rows):
            if on_turn is not None:
                on_turn(turn.rows)
            yield from self._finish(turn.finished)

    def begin(self, key: K, request: RenderRequest) -> Trajectory[K]:
        """The trajectory of `request` before its first step: its noise drawn, its prompts encoded."""
        info = self.bundle.info
        solver = self._solvers.rows(request.sampler, request.steps)
        noise = NoiseSource(request.seed)
        scale = info.vae_scale_factor
        unit = noise.draw(info.latent_channels, request.height // scale, request.width // scale)
        return Trajectory(
            key=key,
            request=request,
            solver=solver,
            noise=noise,
            latents=unit * np.float32(solver.init_noise_sigma),
            cond=self.encode(request.prompt),
            uncond=self.encode(request.negative_prompt) if request.guidance_scale > 1 else None,
            started=time.perf_counter(),
        )

    def _finish(self, finished: list[Trajectory[K]]) -> Iterator[Rendered[K]]:
        sound = [trajectory for trajectory in finished if np.isfinite(trajectory.latents).all()]
        for trajectory in finished:
            if trajectory not in sound:
                yield self._failed(trajectory, "the latents became NaN or infinite; lower the loss or guidance scale")
        pictures = self._decoder([trajectory.latents for trajectory in sound])
        for trajectory, picture in zip(sound, pictures, strict=True):
            if picture is None:
                yield self._failed(trajectory, "the VAE decoder gave NaN or infinite pixels; use a float32 VAE")
            else:
                yield self._done(trajectory, picture)

    def _failed(self, trajectory: Trajectory[K], why: str) -> Rendered[K]:
        return Rendered(trajectory.key, None, why, time.perf_counter() - trajectory.started)

    def _done(self, trajectory: Trajectory[K], picture: NDArray[np.uint8]) -> Rendered[K]:
        losses: dict[str, float] = {}
        if trajectory.request.losses:
            from latentpress.runtime.guidance.gradient import picture_losses

            unit = (np.moveaxis(picture, -1, 0) / 255).astype(np.float32)
            losses = picture_losses(unit, trajectory.request.losses)
        return Rendered(trajectory.key, picture, None, time.perf_counter() - trajectory.started, losses)
