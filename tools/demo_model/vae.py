"""The autoencoder: a small AutoencoderKL, 4 latent channels, trained on every picture of the dataset."""

from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor

from demo_model.dataset import Dataset
from demo_model.settings import Settings
from demo_model.training import train

# Weights of the loss terms beside L1: image gradients keep edges sharp, the KL term keeps latents near a unit normal
# without blurring (Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", 2022, use 1e-6 per
# picture summed; per element that is of the same order as 1e-3 on 64-pixel pictures).
GRADIENT_WEIGHT = 0.5
KL_WEIGHT = 1e-3


def build(settings: Settings) -> AutoencoderKL:
    """An untrained autoencoder that shrinks each side by 2 ** (levels - 1)."""
    levels = len(settings.vae_channels)
    return AutoencoderKL(
        sample_size=settings.size,
        block_out_channels=settings.vae_channels,  # pyright: ignore[reportArgumentType]
        down_block_types=("DownEncoderBlock2D",) * levels,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * levels,  # pyright: ignore[reportArgumentType]
        layers_per_block=1,
        norm_num_groups=8,
        scaling_factor=1.0,
    )


def fit(settings: Settings, dataset: Dataset, folder: Path, device: torch.device) -> AutoencoderKL:
    """The trained autoencoder, its scaling_factor set to 1 / the latents' standard deviation; saved in folder/vae."""
    torch.manual_seed(settings.seed)
    vae = build(settings).to(device)
    pictures = torch.from_numpy(dataset.pictures)
    shown = np.linspace(0, len(pictures) - 1, 20).astype(int)

    def loss(generator: torch.Generator, step: int) -> Tensor:
        picked = torch.randint(len(pictures), (settings.vae_batch,), generator=generator)
        wanted = to_model(pictures[picked]).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            posterior = vae.encode(wanted).latent_dist
            mean, deviation = posterior.mean.float(), posterior.std.float()
            noise = torch.randn(mean.shape, generator=generator).to(device)
            made = vae.decode((mean + deviation * noise).to(wanted.dtype)).sample.float()
        return reconstruction_loss(made, wanted) + KL_WEIGHT * posterior.kl().float().mean() / mean[0].numel()

    def sample(path: Path) -> None:
        wanted = to_model(pictures[shown]).to(device)
        rows = [to_pictures(wanted), to_pictures(decode(vae, encode(vae, wanted)))]
        cv2.imwrite(str(path), np.vstack([np.hstack(row) for row in rows])[..., ::-1])

    train("vae", vae, loss, settings.vae, folder, seed=settings.seed, device=device, sample=sample)
    vae.eval()
    latents = encode(vae, to_model(pictures[:: max(1, len(pictures) // 512)]).to(device))
    vae.register_to_config(scaling_factor=round(1 / float(latents.std()), 4))
    vae.save_pretrained(folder / "vae")
    return vae


def load(folder: Path) -> AutoencoderKL:
    """The autoencoder that `fit` saved in `folder`."""
    return AutoencoderKL.from_pretrained(folder, low_cpu_mem_usage=False).eval()


def reconstruction_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute error of pixels, and of differences between neighbours; both (n, 3, height, width) in -1..1."""
    error = made - wanted
    edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return error.abs().mean() + GRADIENT_WEIGHT * edges


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: Tensor, batch: int = 64) -> Tensor:
    """The posterior means of pictures (n, 3, height, width) in -1..1, unscaled: (n, 4, h, w)."""
    return torch.cat([vae.encode(part).latent_dist.mean for part in pictures.split(batch)])


@torch.no_grad()
def decode(vae: AutoencoderKL, latents: Tensor, batch: int = 64) -> Tensor:
    """Pictures in -1..1 of unscaled latents."""
    return torch.cat([vae.decode(part).sample for part in latents.split(batch)])


def to_model(pictures: Tensor) -> Tensor:
    """uint8 (n, height, width, 3) -> float32 (n, 3, height, width) in -1..1."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pictures(made: Tensor) -> np.ndarray:
    """float (n, 3, height, width) in -1..1 -> uint8 (n, height, width, 3)."""
    return ((made.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
