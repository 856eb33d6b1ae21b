"""Textual inversion (Gal et al., arXiv:2208.01618): a held-out style becomes a few embedding vectors, all else frozen."""

from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from torch import Tensor, nn

from demo_model.dataset import CONCEPTS, Concept, Dataset, caption
from demo_model.settings import Settings
from demo_model.text_to_image import load, noise_loss, render, tokens_of
from demo_model.training import train
from demo_model.vae import encode, to_model

# Every third subject is kept from the concepts: a style is learned if it carries over to those.
KEPT_EVERY = 3
SAMPLED = ("cat face", "rocket", "house", "red apple", "owl", "automobile")


class Embedding(nn.Module):
    """A token embedding with learned rows after the frozen ones."""

    def __init__(self, frozen: nn.Embedding, vectors: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", frozen.weight.detach(), persistent=False)
        self.vectors = nn.Parameter(vectors)

    def forward(self, ids: Tensor) -> Tensor:
        return nn.functional.embedding(ids, torch.cat([self.weight, self.vectors]))


def learned_subjects(dataset: Dataset, token: str) -> tuple[list[int], list[int]]:
    """Indices of a concept's pictures: those it is learned from, and those of the subjects kept from it."""
    entries = enumerate(dataset.entries)
    order = sorted((e.subject, i) for i, e in entries if e.core and e.kind == "concept" and e.style == token)
    kept = [index for place, (_, index) in enumerate(order) if place % KEPT_EVERY == 0]
    return [index for place, (_, index) in enumerate(order) if place % KEPT_EVERY], kept


def fit(settings: Settings, dataset: Dataset, checkpoint: Path, folder: Path, device: torch.device) -> list[Path]:
    """Learn every concept; each is then folder/concepts/NAME.bin, {token: tensor} as in the sd-concepts-library."""
    paths: list[Path] = []
    for concept in CONCEPTS:
        pipe = load(checkpoint).to(device)
        vectors = _fit_one(settings, dataset, pipe, concept, folder, device)
        path = folder / "concepts" / f"{concept.token.strip('<>')}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({concept.token: vectors if len(vectors) > 1 else vectors[0]}, path)
        paths.append(path)
    return paths


def _fit_one(
    settings: Settings,
    dataset: Dataset,
    pipe: StableDiffusionPipeline,
    concept: Concept,
    folder: Path,
    device: torch.device,
) -> Tensor:
    for part in (pipe.unet, pipe.text_encoder, pipe.vae):
        part.requires_grad_(False)
    indices, _ = learned_subjects(dataset, concept.token)
    pictures = to_model(torch.from_numpy(dataset.pictures[indices])).to(device)
    latents = encode(pipe.vae, pictures) * pipe.vae.config.scaling_factor
    text_model = pipe.text_encoder.text_model
    frozen = text_model.embeddings.token_embedding
    start = pipe.tokenizer(concept.words, add_special_tokens=False).input_ids
    placeholders = [f"<{concept.token.strip('<>')}{i}>" for i in range(len(start))]
    pipe.tokenizer.add_tokens(placeholders)
    text_model.embeddings.token_embedding = Embedding(frozen, frozen.weight[start].clone())
    texts = [caption(dataset.entries[index].subject, " ".join(placeholders)) for index in indices]
    words = tokens_of(pipe.tokenizer, texts).to(device)
    alphas_cumprod = pipe.scheduler.alphas_cumprod.to(device)

    def loss(generator: torch.Generator, step: int) -> Tensor:
        picked = torch.randint(len(latents), (settings.concept_batch,), generator=generator).to(device)
        return noise_loss(pipe.text_encoder, pipe.unet, latents[picked], words[picked], alphas_cumprod, generator)

    def sample(path: Path) -> None:
        prompts = [caption(subject, " ".join(placeholders)) for subject in SAMPLED]
        steps, size = settings.sampling_steps, settings.size
        rows = [
            np.hstack(render(pipe, prompts, seeds=[seed] * len(prompts), size=size, steps=steps)) for seed in (1, 2)
        ]
        cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])

    embedding = text_model.embeddings.token_embedding
    name = f"concept-{concept.token.strip('<>')}"
    train(name, embedding, loss, settings.concept, folder, seed=settings.seed, device=device, sample=sample)
    return embedding.vectors.detach().cpu().clone()
