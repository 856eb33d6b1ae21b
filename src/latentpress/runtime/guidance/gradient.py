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
from latentpress.runtime.guidance.context import Ask, Context, Encode, Gradient, Moment
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
    loaded; rows: how many x0 of a shape go through the decoder together, by default one; encode: for losses that compare
    features (encoder.py).
    """

    def __init__(
        self,
        decoder: Callable[[Tensor], Tensor],
        threads: int | None = None,
        losses: Mapping[str, Loss] = LOSSES,
        rows: Callable[[tuple[int, ...]], int] = lambda shape: 1,
        encode: Encode | None = None,
    ) -> None:
        self._decode = decoder
        self._encode = encode
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
            images = self._decode(latents) if any(self._looks(asks[place]) for place in places) else None
            pulls: list[_Pull | Exception] = []
            for row, place in enumerate(places):
                begins([place])
                try:
                    image = images[row : row + 1] if images is not None and self._looks(asks[place]) else None
                    pulls.append(self._pull(image, latents[row : row + 1], asks[place]))
                except Exception as error:
                    pulls.append(error)
            begins(places)
            backs = _through(images, latents, [[] if isinstance(pull, Exception) else pull.images for pull in pulls])
        except Exception as error:
            if len(places) == 1:
                return [error]
            half = len(places) // 2
            return [*self._together(asks, places[:half], begins), *self._together(asks, places[half:], begins)]
        return [
            pull if isinstance(pull, Exception) else pull.whole(back) for pull, back in zip(pulls, backs, strict=True)
        ]

    def _looks(self, ask: Ask) -> bool:
        """Whether any of its losses takes the image."""
        return any(loss_of(spec, self._losses).looks for spec in ask.losses)

    def _pull(self, image: Tensor | None, latents: Tensor, ask: Ask) -> "_Pull":
        """What the losses on one image (1, 3, H, W) pull it by, and its latents where they look at these too."""
        latents = latents.detach().clone().requires_grad_()
        image = None if image is None else image.detach().clone().requires_grad_()
        values, free, keeping = list[Tensor](), list[Tensor](), list[tuple[Tensor, Tensor]]()
        for spec in ask.losses:
            value, kept = _value(self._losses, spec, _seen(spec, image), latents, ask.moment, self._encode)
            values.append(value)
            if kept is None:
                free.append(spec.scale * value)
            else:
                keeping.append((spec.scale * value, kept))
        pulled = [_by(torch.stack(free).sum(), image, latents) if free else (None, None)]
        for value, kept in keeping:  # what it pulls by, and by what the value that it keeps changes
            pulled += [_by(value, image, latents), _by(kept, image, latents)]
        return _Pull([by for by, _ in pulled], [by for _, by in pulled], tuple(float(one.detach()) for one in values))


@dataclass(frozen=True, eq=False)
class _Pull:
    """The gradients of one image's losses by the image and by its latents, None where they do not look at them.

    The first is of all losses that keep nothing; then for each of the others its own, and that of what it keeps.
    """

    images: list[Tensor | None]
    latents: list[Tensor | None]
    values: tuple[float, ...]

    def whole(self, backs: Sequence[Tensor]) -> Gradient:
        """With what the decoder makes of each of `images`, (4, h, w)."""
        each = [back if by is None else back + by[0] for back, by in zip(backs, self.latents, strict=True)]
        gradient = each[0]
        for g, h in zip(each[1::2], each[2::2], strict=True):
            # Along h what is kept would change: g - <g, h> / <h, h> * h.
            gradient = gradient + g - (g * h).sum() / h.square().sum().clamp(min=1e-30) * h
        return gradient.numpy(), self.values


def _by(value: Tensor, image: Tensor | None, latents: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of a scalar by the image and by the latents; None where it does not look at one."""
    if image is None:
        return None, torch.autograd.grad(value, latents, retain_graph=True)[0]
    by_image, by_latents = torch.autograd.grad(value, (image, latents), retain_graph=True, allow_unused=True)
    return by_image, by_latents


def _through(images: Tensor | None, latents: Tensor, pulls: Sequence[Sequence[Tensor | None]]) -> list[list[Tensor]]:
    """What the decoder makes of each row's pulls, one after another, (4, h, w) each; 0 where a row is not pulled."""
    found: list[list[Tensor]] = [[] for _ in pulls]
    for turn in range(max(map(len, pulls))):
        now = [row[turn] if turn < len(row) else None for row in pulls]
        back = torch.zeros_like(latents)
        if images is not None and any(pull is not None for pull in now):
            zero = torch.zeros_like(images[:1])
            given = torch.cat([zero if pull is None else pull for pull in now])
            (back,) = torch.autograd.grad(images, latents, given, retain_graph=True)
        for row, (mine, pull) in enumerate(zip(found, now, strict=True)):
            if turn < len(pulls[row]):
                mine.append(torch.zeros_like(back[row]) if pull is None else back[row])
    return found


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


def _seen(spec: LossSpec, image: Tensor | None) -> Tensor | None:
    """What a loss is shown of a decoded image."""
    return image if image is None or not spec.clamp else within(image)


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
    encode: Encode | None = None,
) -> tuple[tuple[str, float], ...]:
    """Each loss's label (labels.py) and unscaled value on one finished picture.

    image: (3, H, W) in 0..1; latents: (C, h, w), what it was decoded from; encode: for losses that want it.
    """
    with torch.no_grad():
        batch, decoded = (torch.from_numpy(np.array(one[np.newaxis])) for one in (image, latents))
        values = [float(_value(losses, spec, batch, decoded, moment, encode)[0]) for spec in asked]
    return tuple(zip(loss_labels(asked), values, strict=True))


def _value(
    losses: Mapping[str, Loss],
    spec: LossSpec,
    image: Tensor | None,
    latents: Tensor,
    moment: Moment,
    encode: Encode | None,
) -> tuple[Tensor, Tensor | None]:
    """The unscaled loss of one image, a scalar, and the value that it keeps, if it keeps one.

    image: None where it does not look at it.
    """
    height, width = (latents if image is None else image).shape[-2:]
    if MASK in spec.files and torch.is_grad_enabled():
        mask = mask_tensor(spec.files[MASK], height, width)
        image, latents = image if image is None else _pushed(image, mask), _pushed(latents, mask)
    generator = torch.Generator().manual_seed(moment.noise_seed)
    context = Context(latents, moment.step, moment.steps, generator, **({"encode": encode} if encode else {}))
    loss = loss_of(spec, losses)
    pictures = {name: picture_tensor(spec.files[name], height, width) for name in loss.pictures if name in spec.files}
    folders = {name: spec.files[name] for name in loss.folders}
    value = loss(image, {**spec.params, **pictures, **folders}, context).sum()
    return value, None if loss.keeps is None or image is None else loss.keeps(image).sum()


def _pushed(values: Tensor, weights: Tensor) -> Tensor:
    """`values` with their gradient times `weights`, of the same height and width or a multiple of them."""
    height, width = values.shape[-2:]
    fitting = torch.nn.functional.adaptive_avg_pool2d(weights, (height, width))
    held = values.detach()
    return held + fitting * (values - held)
