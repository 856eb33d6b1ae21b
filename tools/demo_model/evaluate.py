"""Judges a checkpoint and its concepts by retrieval: is the training picture nearest to a render the one asked for?

Nearest is measured twice: by pixels, and by the autoencoder's latents, which mind a line a little beside its place less.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from skimage.metrics import structural_similarity

from demo_model.concepts import learned_subjects
from demo_model.dataset import CONCEPTS, Dataset, Entry
from demo_model.settings import Settings
from demo_model.text_to_image import load, render
from demo_model.vae import decode, encode, to_model, to_pictures

SEED = 99
BATCH = 40
SPACES = ("pixels", "latents")


@dataclass(frozen=True)
class Retrieval:
    """Shares, 0..1, of renders whose nearest (or 5 nearest) training pictures hold one with the caption asked for.

    subject_top1: the nearest shows the same subject, in whatever style.
    """

    renders: int
    top1: float
    top5: float
    subject_top1: float


@dataclass(frozen=True)
class Report:
    """What `evaluate` measures, each retrieval in each of SPACES.

    styles: space -> token -> (all, kept), the share of renders nearest to a picture of that style; kept: of subjects
    that the concept has not seen. l1: of pixels in -1..1; psnr: dB; ssim: 0..1.
    """

    captions: dict[str, Retrieval]
    recombinations: dict[str, Retrieval]
    styles: dict[str, dict[str, tuple[float, float]]]
    l1: float
    psnr: float
    ssim: float


def evaluate(checkpoint: Path, concepts: Path, dataset: Dataset, settings: Settings, folder: Path) -> Report:
    """Render, measure, and leave folder/evaluation.json with sheets of what was rendered beside it."""
    pipe = load(checkpoint)
    spaces = Spaces(pipe, dataset.pictures)
    random = np.random.default_rng(SEED)
    core, plain = dataset.indices("plain", core=True), dataset.indices("plain")
    asked = np.sort(random.choice(core, min(settings.judged_captions, len(core)), replace=False))
    held = dataset.indices("held")
    report = Report(
        captions=_retrieval(pipe, spaces, dataset, asked, plain, settings, folder / "evaluation-captions.png"),
        recombinations=_retrieval(
            pipe,
            spaces,
            dataset,
            held,
            dataset.indices("plain", "colour", "held"),
            settings,
            folder / "evaluation-recombinations.png",
        ),
        styles=_styles(pipe, spaces, concepts, dataset, settings, folder),
        **_reconstruction(pipe, dataset),
    )
    (folder / "evaluation.json").write_text(json.dumps(asdict(report), indent=2) + "\n")
    return report


class Spaces:
    """Training pictures as points in each of SPACES, and what is nearest to a render there."""

    def __init__(self, pipe: StableDiffusionPipeline, pictures: np.ndarray) -> None:
        self._pipe = pipe
        self._gallery = self._points(pictures)

    def nearest(self, renders: np.ndarray, among: np.ndarray, count: int = 5) -> dict[str, np.ndarray]:
        """Space -> indices (n, count) of the training pictures nearest to each render, of those in `among`."""
        points = self._points(renders)
        return {space: among[nearest(points[space], self._gallery[space][among], count)] for space in SPACES}

    def _points(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        parts = torch.from_numpy(pictures).split(512)
        latents = torch.cat([encode(self._pipe.vae, to_model(part)) for part in parts]).numpy()
        return {"pixels": pictures.astype(np.float32) / 255, "latents": latents}


def nearest(renders: np.ndarray, gallery: np.ndarray, count: int = 5) -> np.ndarray:
    """Indices (n, count) into `gallery` of the points with the least mean squared error to each render, best first."""
    a = renders.reshape(len(renders), -1).astype(np.float32)
    b = gallery.reshape(len(gallery), -1).astype(np.float32)
    distances = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)[None]
    return np.argsort(distances, axis=1, kind="stable")[:, :count]


def _retrieval(
    pipe: StableDiffusionPipeline,
    spaces: Spaces,
    dataset: Dataset,
    asked: np.ndarray,
    gallery: np.ndarray,
    settings: Settings,
    sheet: Path,
) -> dict[str, Retrieval]:
    seeds = list(range(settings.judged_seeds))
    wanted = [dataset.entries[index] for index in asked for _ in seeds]
    made = _render_all(pipe, [entry.caption for entry in wanted], seeds * len(asked), settings)
    first = made[:: len(seeds)]
    rows = [np.hstack(first[i : i + 20]) for i in range(0, len(first) - 19, 20)]
    if rows:
        cv2.imwrite(str(sheet), np.vstack(rows)[..., ::-1])
    return {space: _judged(found, wanted, dataset) for space, found in spaces.nearest(made, gallery).items()}


def _judged(found: np.ndarray, wanted: list[Entry], dataset: Dataset) -> Retrieval:
    hits = np.array(
        [[dataset.entries[i].caption == e.caption for i in row] for row, e in zip(found, wanted, strict=True)]
    )
    subjects = [dataset.entries[row[0]].subject == e.subject for row, e in zip(found, wanted, strict=True)]
    return Retrieval(len(wanted), float(hits[:, 0].mean()), float(hits.any(1).mean()), float(np.mean(subjects)))


def _styles(
    pipe: StableDiffusionPipeline, spaces: Spaces, concepts: Path, dataset: Dataset, settings: Settings, folder: Path
) -> dict[str, dict[str, tuple[float, float]]]:
    gallery = dataset.indices("plain", "outline", "print", "concept")
    seeds, count = list(range(settings.judged_seeds)), settings.judged_subjects
    shares: dict[str, dict[str, tuple[float, float]]] = {space: {} for space in SPACES}
    rows: list[np.ndarray] = []
    for concept in CONCEPTS:
        pipe.load_textual_inversion(concepts / f"{concept.token.strip('<>')}.bin")
        of_style: dict[str, list[float]] = {space: [] for space in SPACES}
        for indices in learned_subjects(dataset, concept.token):
            chosen = indices[:: max(1, len(indices) // count)][:count]
            prompts = [dataset.entries[index].caption for index in chosen for _ in seeds]
            made = _render_all(pipe, prompts, seeds * len(chosen), settings)
            for space, found in spaces.nearest(made, gallery, 1).items():
                of_style[space].append(float(np.mean([dataset.entries[i].style == concept.token for i in found[:, 0]])))
            rows.append(np.hstack(made[:: len(seeds)][:count]))
        for space in SPACES:
            shares[space][concept.token] = (float(np.mean(of_style[space])), of_style[space][1])
    if len({row.shape for row in rows}) == 1:
        cv2.imwrite(str(folder / "evaluation-styles.png"), np.vstack(rows)[..., ::-1])
    return shares


def _render_all(pipe: StableDiffusionPipeline, prompts: list[str], seeds: list[int], settings: Settings) -> np.ndarray:
    parts = [
        render(
            pipe,
            prompts[start : start + BATCH],
            seeds=seeds[start : start + BATCH],
            size=settings.size,
            steps=settings.sampling_steps,
        )
        for start in range(0, len(prompts), BATCH)
    ]
    return np.concatenate(parts)


def _reconstruction(pipe: StableDiffusionPipeline, dataset: Dataset) -> dict[str, float]:
    wanted = dataset.pictures[dataset.indices("plain", "concept")]
    tensors = to_model(torch.from_numpy(wanted))
    made = to_pictures(decode(pipe.vae, encode(pipe.vae, tensors)))
    error = (made.astype(np.float32) - wanted) / 255
    mse = np.square(error).mean((1, 2, 3))
    similar = [structural_similarity(a, b, channel_axis=-1) for a, b in zip(wanted, made, strict=True)]
    return {
        "l1": float(np.abs(error).mean() * 2),
        "psnr": float((-10 * np.log10(np.maximum(mse, 1e-10))).mean()),
        "ssim": float(np.mean(similar)),
    }
