"""The one block that takes gradients: a loss on the decoded x0, through the torch VAE decoder alone.

    x0  = (x - sigma * eps) / alpha            eps is a constant here: no UNet gradient (fastai; MPGD, arXiv 2311.16424)
    img = decode(x0 / scaling_factor) / 2 + 0.5
    g   = d sum_k(scale_k * loss_k(img)) / dx0

A loss with a mask m sees img as m * img + (1 - m) * (img, held constant): all of the picture, with a gradient in m alone.

One image at a time, because torch's results move with the batch size.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from latentpress.bundle.info import Bundle
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.context import Context, Moment
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
        latents: Any = x0 / self._scaling_factor
        if self.vae.post_quant_conv is not None:
            latents = self.vae.post_quant_conv(latents)
        return self.vae.decoder(latents) / 2 + 0.5


class LossGuidance:
    """Gradients and values of losses on x0, for one image at a time.

    decoder: x0 (1, 4, h, w) to an image (1, 3, H, W), about 0..1, differentiable: TorchDecoder, or EngineDecoder;
    threads: torch's, because the bits of its gradients depend on their number; None for as many as it has;
    losses: those that a picture may ask for, by name, and people's own by the key of their code; others of these are
    loaded.
    """

    def __init__(
        self,
        decoder: Callable[[Tensor], Tensor],
        threads: int | None = None,
        losses: Mapping[str, Loss] = LOSSES,
    ) -> None:
        self._decode = decoder
        self._threads = threads
        self._losses = losses

    def gradient(
        self, x0: NDArray[np.float32], asked: Sequence[LossSpec], moment: Moment
    ) -> tuple[NDArray[np.float32], tuple[float, ...]]:
        """d(sum_k scale_k * loss_k)/dx0 of one image's x0 (4, h, w) at `moment`, and each loss's unscaled value."""
        with torch_threads(self._threads), torch.enable_grad():
            latents = torch.from_numpy(np.array(x0[np.newaxis])).requires_grad_()
            image = self._decode(latents)
            values = [
                _value(self._losses, spec, within(image) if spec.clamp else image, latents, moment) for spec in asked
            ]
            total = torch.stack([spec.scale * value for spec, value in zip(asked, values, strict=True)]).sum()
            (gradient,) = torch.autograd.grad(total, latents)
        return gradient[0].numpy(), tuple(float(value.detach()) for value in values)


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
