"""The text encoder and the UNet, trained together on the autoencoder's latents; saved as a diffusers checkpoint."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from demo_model.dataset import Dataset, caption
from demo_model.settings import Settings
from demo_model.training import train
from demo_model.vae import encode, to_model
from latentpress.testing.words import write_tokenizer

# How often each kind of picture is shown.
SHARES = {"plain": 0.52, "colour": 0.2, "outline": 0.14, "print": 0.14}
# Captions replaced by none, for classifier-free guidance (Ho & Salimans 2022), and plain ones without their style.
EMPTY_SHARE, BARE_SHARE = 0.1, 0.1
MIN_SNR = 5.0
MAX_TOKENS = 77
SAMPLED = (
    "a red heart in the style of flat",
    "a cat face in the style of noto",
    "an automobile in the style of 3d",
    "a rocket in the style of noto",
    "a house in the style of flat",
    "a deciduous tree in the style of 3d",
    "a blue apple in the style of flat",
    "an owl in the style of black outline on white",
    "a fish in the style of white print on red",
    "a birthday cake in the style of blob",
)


def tokenizer(words: set[str], folder: Path) -> CLIPTokenizer:
    """A CLIPTokenizer in which each of `words` is one token and any other text is spelled in bytes."""
    write_tokenizer(folder / "tokenizer", sorted(words), max_length=MAX_TOKENS)
    return CLIPTokenizer.from_pretrained(folder / "tokenizer")


def words_of(dataset: Dataset) -> set[str]:
    """Every word of the captions that is not a concept's token."""
    words = {word for entry in dataset.entries for word in entry.caption.lower().split()}
    return {word for word in words if not word.startswith("<")} | {"with", "and", "on", "of"}


def build(settings: Settings, tokens: int) -> nn.ModuleDict:
    """An untrained text encoder and UNet for a vocabulary of `tokens`."""
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=tokens,
            hidden_size=settings.text_width,
            intermediate_size=4 * settings.text_width,
            projection_dim=settings.text_width,
            num_hidden_layers=settings.text_layers,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=tokens - 2,
            eos_token_id=tokens - 1,
            pad_token_id=tokens - 1,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=settings.size // 2 ** (len(settings.vae_channels) - 1),
        layers_per_block=1,
        block_out_channels=settings.unet_channels,  # pyright: ignore[reportArgumentType]
        # Attention where the picture is small: at full size it would cost more than the rest together.
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=settings.text_width,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    return nn.ModuleDict({"text_encoder": text_encoder, "unet": unet})


def scheduler() -> DDIMScheduler:
    """Stable Diffusion 1's noise schedule."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


class Batches:
    """Latents with tokenized captions, drawn at random; the same generator draws the same batch."""

    def __init__(self, dataset: Dataset, vae: AutoencoderKL, words: CLIPTokenizer, device: torch.device) -> None:
        self.broad = [torch.from_numpy(dataset.indices(kind)) for kind in SHARES]
        self.core = [torch.from_numpy(dataset.indices(kind, core=True)) for kind in SHARES]
        pictures = torch.from_numpy(dataset.pictures)
        parts = [encode(vae, to_model(part).to(device)) for part in pictures.split(512)]
        self.latents = torch.cat(parts) * vae.config["scaling_factor"]
        full = [entry.caption for entry in dataset.entries]
        bare = [caption(entry.subject) if entry.kind == "plain" else entry.caption for entry in dataset.entries]
        self.full, self.bare = (tokens_of(words, texts).to(device) for texts in (full, bare))
        self.empty = tokens_of(words, [""]).to(device)

    def draw(self, count: int, generator: torch.Generator, *, broad: bool) -> tuple[Tensor, Tensor]:
        """Scaled latents (count, 4, h, w) and input_ids (count, 77), of every subject or of the core ones alone."""
        kinds = torch.multinomial(torch.tensor(list(SHARES.values())), count, replacement=True, generator=generator)
        pools = self.broad if broad else self.core
        places = torch.rand(count, generator=generator)
        picked = torch.stack([pools[k][int(u * len(pools[k]))] for k, u in zip(kinds.tolist(), places, strict=True)])
        share = torch.rand(count, generator=generator).to(self.full.device)[:, None]
        picked = picked.to(self.full.device)
        words = torch.where(share < EMPTY_SHARE + BARE_SHARE, self.bare[picked], self.full[picked])
        return self.latents[picked], torch.where(share < EMPTY_SHARE, self.empty, words)


def noise_loss(
    text_encoder: Any, unet: Any, latents: Tensor, words: Tensor, alphas_cumprod: Tensor, generator: torch.Generator
) -> Tensor:
    """The error of the predicted noise, weighted by min-SNR-5 (Hang et al., arXiv:2303.09556).

    latents: (n, 4, h, w), scaled; words: input_ids (n, 77); alphas_cumprod: (1000,).
    """
    noise = torch.randn(latents.shape, generator=generator).to(latents.device)
    timesteps = torch.randint(len(alphas_cumprod), (len(latents),), generator=generator).to(latents.device)
    alphas = alphas_cumprod[timesteps]
    kept = alphas[:, None, None, None]
    noisy = kept.sqrt() * latents + (1 - kept).sqrt() * noise
    with torch.autocast(latents.device.type, torch.bfloat16):
        states = text_encoder(input_ids=words)[0]
        predicted = unet(noisy, timesteps, encoder_hidden_states=states).sample
    snr = alphas / (1 - alphas)
    error = (predicted.float() - noise).square().mean((1, 2, 3))
    return (error * snr.clamp(max=MIN_SNR) / snr).mean()


def fit(settings: Settings, dataset: Dataset, vae: AutoencoderKL, folder: Path, device: torch.device) -> Path:
    """Train on `dataset`; the whole checkpoint is then in folder/checkpoint."""
    torch.manual_seed(settings.seed)
    words = tokenizer(words_of(dataset), folder)
    models = build(settings, len(words)).to(device)
    batches = Batches(dataset, vae, words, device)
    schedule = scheduler()
    alphas_cumprod = schedule.alphas_cumprod.to(device)
    pipe = pipeline(models, vae, words)

    def loss(generator: torch.Generator, step: int) -> Tensor:
        latents, ids = batches.draw(settings.unet_batch, generator, broad=step < settings.unet_broad_steps)
        return noise_loss(models["text_encoder"], models["unet"], latents, ids, alphas_cumprod, generator)

    def sample(path: Path) -> None:
        size, steps = settings.size, settings.sampling_steps
        rows = [np.hstack(render(pipe, [text] * 4, seeds=range(4), size=size, steps=steps)) for text in SAMPLED]
        half = len(rows) // 2
        cv2.imwrite(str(path), np.hstack([np.vstack(rows[:half]), np.vstack(rows[half:])])[..., ::-1])

    train("unet", models, loss, settings.unet, folder, seed=settings.seed, device=device, sample=sample)
    pipe.save_pretrained(folder / "checkpoint")
    return folder / "checkpoint"


def pipeline(models: nn.ModuleDict, vae: AutoencoderKL, words: CLIPTokenizer) -> StableDiffusionPipeline:
    """The models as a StableDiffusionPipeline."""
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=models["text_encoder"],  # pyright: ignore[reportArgumentType]
        tokenizer=words,
        unet=models["unet"],  # pyright: ignore[reportArgumentType]
        scheduler=scheduler(),  # pyright: ignore[reportArgumentType]
        safety_checker=None,  # pyright: ignore[reportArgumentType]
        feature_extractor=None,  # pyright: ignore[reportArgumentType]
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def load(checkpoint: Path) -> StableDiffusionPipeline:
    """The pipeline saved in `checkpoint`, quiet."""
    pipe = StableDiffusionPipeline.from_pretrained(checkpoint, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def render(
    pipe: StableDiffusionPipeline, prompts: list[str], *, seeds: Any, size: int, steps: int = 25, scale: float = 4.0
) -> np.ndarray:
    """One picture a prompt and seed, uint8 RGB (n, size, size, 3); each seed's noise is drawn on the CPU."""
    generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    made = pipe(
        prompts,
        height=size,
        width=size,
        num_inference_steps=steps,
        guidance_scale=scale,
        generator=generators,
        output_type="np",
    )
    return np.rint(made.images * 255).astype(np.uint8)  # pyright: ignore[reportAttributeAccessIssue]


def tokens_of(words: CLIPTokenizer, texts: list[str]) -> Tensor:
    """input_ids (n, 77)."""
    return words(texts, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt").input_ids
