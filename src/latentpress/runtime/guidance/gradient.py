"""The one block that takes gradients: losses on the decoded x0, through the VAE decoder alone.

    x0  = (x - sigma * eps) / alpha            eps is a constant here: no UNet gradient (fastai; MPGD, arXiv 2311.16424)
    img = decode(x0 / scaling_factor) / 2 + 0.5
    g   = d sum_k(scale_k * loss_k(img)) / dx0

A loss with a mask m sees img as m * img + (1 - m) * (img, held constant): all of the picture, with a gradient in m alone.

PyTorch goes from the losses to the image, for each image alone, so that one whose loss fails fails alone. From there to x0
goes the decoder: on an engine for several images at once, which do not touch one another there, or in torch, one at a time,
because torch's results move with the batch size.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from latentpress.bundle.info import Bundle
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.context import Ask, Context, Gradient, Moment
from latentpress.runtime.guidance.labels import loss_labels
from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.guidance.own.run import loss_of
from latentpress.runtime.guidance.pictures import mask_tensor, picture_tensor
from latentpress.runtime.request import MASK, LossSpec


class TorchDecoder:
    """The bundle's VAE decoder in torch: latents (1, 4, h, w) -> image (1, 3, H, W), about 0..1, not clamped."""

    def __init__(self, bundle: Bundle) -> None:
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

        config = {key: value for key, value in bundle.info.vae_config.items() if not key.startswith("_")}
        with torch.device("meta"):
            vae: Any = AutoencoderKL(**config)
        del vae.encoder, vae.quant_conv  # only the decoder's weights travel in a bundle
        vae.load_state_dict(load_file(bundle.file("vae_decoder.safetensors")), strict=True, assign=True)
        self.vae: Any = vae.eval().requires_grad_(False)
        self._scaling_factor = bundle.info.scaling_factor

    def __call__(self, x0: Tensor) -> Tensor:
        return self.sample(x0 / self._scaling_factor) / 2 + 0.5

    def sample(self, latents: Tensor) -> Tensor:
        """What the decoder itself takes and gives: latents divided by the scaling factor, an image in about -1..1."""
        if self.vae.post_quant_conv is not None:
            latents = self.vae.post_quant_conv(latents)
        return self.vae.decoder(latents)


class LossGuidance:
    """Gradients and values of losses on x0.

    decoder: x0 (n, 4, h, w) to images (n, 3, H, W), about 0..1, differentiable: TorchDecoder, or EngineDecoder;
    threads: torch's, because the bits of its gradients depend on their number; None for as many as it has;
    losses: those that a picture may ask for, by name, and people's own by the key of their code; others of these are
    loaded; rows: how many x0 of a shape go through the decoder together, by default one.
    """

    def __init__(
        self,
        decoder: Callable[[Tensor], Tensor],
        threads: int | None = None,
        losses: Mapping[str, Loss] = LOSSES,
        rows: Callable[[tuple[int, ...]], int] = lambda shape: 1,
    ) -> None:
        self._decode = decoder
        self._threads = threads
        self._losses = losses
        self._rows = rows

    def gradient(self, x0: NDArray[np.float32], asked: Sequence[LossSpec], moment: Moment) -> Gradient:
        """That of one image; raises what its losses raise."""
        (found,) = self.gradients([Ask(x0, asked, moment)])
        if isinstance(found, Exception):
            raise found
        return found

    def gradients(
        self, asks: Sequence[Ask], begins: Callable[[Sequence[int]], None] = lambda places: None
    ) -> list[Gradient | Exception]:
        """That of each image, or what was raised for it; the bits of none depend on the others.

        begins: hears the places of the images that something is computed for next.
        """
        found: list[Gradient | Exception] = []
        with torch_threads(self._threads), torch.enable_grad():
            while left := asks[len(found) :]:
                places = range(len(found), len(asks))[: self._rows(left[0].x0.shape)]
                found += self._together(asks, places, begins)
        return found

    def _together(
        self, asks: Sequence[Ask], places: Sequence[int], begins: Callable[[Sequence[int]], None]
    ) -> list[Gradient | Exception]:
        """As `gradients`, of the images at `places`, in one pass of the decoder; taken apart where that raises."""
        try:
            begins(places)
            latents = torch.from_numpy(np.stack([asks[place].x0 for place in places])).requires_grad_()
            images = self._decode(latents)
            pulls: list[_Pull | Exception] = []
            for row, place in enumerate(places):
                begins([place])
                try:
                    pulls.append(self._pull(images[row : row + 1], latents[row : row + 1], asks[place]))
                except Exception as error:
                    pulls.append(error)
            begins(places)
            through = [None if isinstance(pull, Exception) else pull.image for pull in pulls]
            if any(pull is not None for pull in through):
                zero = torch.zeros_like(images[:1])
                given = torch.cat([zero if pull is None else pull for pull in through])
                (back,) = torch.autograd.grad(images, latents, given)
            else:
                back = torch.zeros_like(latents)
        except Exception as error:
            if len(places) == 1:
                return [error]
            half = len(places) // 2
            return [*self._together(asks, places[:half], begins), *self._together(asks, places[half:], begins)]
        return [pull if isinstance(pull, Exception) else pull.whole(back[row]) for row, pull in enumerate(pulls)]

    def _pull(self, image: Tensor, latents: Tensor, ask: Ask) -> "_Pull":
        """What the losses on one image (1, 3, H, W) pull it by, and its latents where they look at these too."""
        image, latents = (each.detach().clone().requires_grad_() for each in (image, latents))
        values = [
            _value(self._losses, spec, within(image) if spec.clamp else image, latents, ask.moment)
            for spec in ask.losses
        ]
        total = torch.stack([spec.scale * value for spec, value in zip(ask.losses, values, strict=True)]).sum()
        by_image, by_latents = torch.autograd.grad(total, (image, latents), allow_unused=True)
        return _Pull(by_image, by_latents, tuple(float(value.detach()) for value in values))


@dataclass(frozen=True, eq=False)
class _Pull:
    """The gradient of one image's losses by the image and by its latents, None where they do not look at them."""

    image: Tensor | None
    latents: Tensor | None
    values: tuple[float, ...]

    def whole(self, back: Tensor) -> Gradient:
        """With `back` (4, h, w), what the decoder makes of `image`."""
        gradient = torch.zeros_like(back) if self.image is None else back
        if self.latents is not None:
            gradient = gradient + self.latents[0]
        return gradient.numpy(), self.values


class _Within(torch.autograd.Function):
    """The image cut to 0..1, with the gradient of the pixels beyond, but for what would push them further out.

    A plain clamp has no gradient there: a pixel that a push has sent beyond white could never come back.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(image)
        return image.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (image,) = ctx.saved_tensors
        outwards = ((image < 0) & (gradient > 0)) | ((image > 1) & (gradient < 0))  # pixels go against the gradient
        return torch.where(outwards, 0.0, gradient)


def within(image: Tensor) -> Tensor:
    """`image` cut to 0..1; gradients reach the pixels beyond, but for those that would go further out."""
    return cast(Tensor, _Within.apply(image))


@contextmanager
def torch_threads(count: int | None) -> Generator[None]:
    """Have torch compute in `count` threads within, whatever it has outside; None changes nothing."""
    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield
    finally:
        if count is not None:
            torch.set_num_threads(before)


def picture_losses(
    image: NDArray[np.float32],
    latents: NDArray[np.float32],
    asked: Sequence[LossSpec],
    moment: Moment,
    losses: Mapping[str, Loss] = LOSSES,
) -> tuple[tuple[str, float], ...]:
    """Each loss's label (labels.py) and unscaled value on one finished picture.

    image: (3, H, W) in 0..1; latents: (C, h, w), what it was decoded from.
    """
    with torch.no_grad():
        batch, decoded = (torch.from_numpy(np.array(one[np.newaxis])) for one in (image, latents))
        values = [float(_value(losses, spec, batch, decoded, moment)) for spec in asked]
    return tuple(zip(loss_labels(asked), values, strict=True))


def _value(losses: Mapping[str, Loss], spec: LossSpec, image: Tensor, latents: Tensor, moment: Moment) -> Tensor:
    """The unscaled loss of one image, a scalar."""
    if MASK in spec.files and torch.is_grad_enabled():
        mask = mask_tensor(spec.files[MASK], *image.shape[-2:])
        image, latents = _pushed(image, mask), _pushed(latents, mask)
    generator = torch.Generator().manual_seed(moment.noise_seed)
    context = Context(latents, moment.step, moment.steps, generator)
    height, width = image.shape[-2:]
    pictures = {name: picture_tensor(file, height, width) for name, file in spec.files.items() if name != MASK}
    return loss_of(spec, losses)(image, {**spec.params, **pictures}, context).sum()


def _pushed(values: Tensor, weights: Tensor) -> Tensor:
    """`values` with their gradient times `weights`, of the same height and width or a multiple of them."""
    height, width = values.shape[-2:]
    fitting = torch.nn.functional.adaptive_avg_pool2d(weights, (height, width))
    held = values.detach()
    return held + fitting * (values - held)
