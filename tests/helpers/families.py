"""Small random checkpoints and bundles of every family, made once per test process, and diffusers' pipelines on them."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from compare import diffusers_scheduler
from latentpress.bundle.info import file_sha256, open_bundle
from latentpress.runtime.request import ImageFile
from store import kept
from traces import shared_traces

FAMILIES = {
    "sd2": {"family": "sd2"},
    "inpainting": {"inpainting": True},
    "sdxl": {"family": "sdxl"},
    "sdxl-inpainting": {"family": "sdxl", "inpainting": True},
    "refiner": {"family": "sdxl_refiner"},
    "lcm": {"guidance": 32},
    "lcm-sdxl": {"family": "sdxl", "guidance": 32},
}


@dataclass(frozen=True)
class Exported:
    """A checkpoint and the bundle exported from it."""

    checkpoint: Path
    path: Path

    @property
    def bundle(self):
        return open_bundle(self.path, verify=False)

    def pipeline(self, kind, sampler, seed=None):
        """diffusers' pipeline `kind` on the checkpoint, with the scheduler of our `sampler`; seed: of a Brownian path."""
        plain = {} if "XL" in kind.__name__ else {"safety_checker": None, "requires_safety_checker": False}
        pipeline = kind.from_pretrained(str(self.checkpoint), **plain)
        # From the file: a pipeline's own scheduler has filled in the defaults of its class, which are not another's.
        config = json.loads((self.checkpoint / "scheduler/scheduler_config.json").read_text())
        plain = {key: value for key, value in config.items() if not key.startswith("_")}
        pipeline.scheduler = diffusers_scheduler(sampler, plain, seed)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


_VAE = "vae/diffusion_pytorch_model.safetensors"


def export(folder: Path, precision="fp32", **shape) -> Exported:
    """A checkpoint of `shape` and its bundle in `precision`.

    All share one autoencoder, whose graphs are traced once: that is slow.
    """
    from latentpress.export import export_bundle
    from latentpress.testing.random_checkpoint import build_checkpoint

    small = {"width": 16, "hidden": 32, "size": 64, "seed": 3}

    def autoencoder():
        # Of one family, whichever a test process happens to ask for first.
        return (build_checkpoint(folder / "first", **small, **FAMILIES["inpainting"]) / _VAE).read_bytes()

    checkpoint = build_checkpoint(folder / "checkpoint", **small, **shape)
    (checkpoint / _VAE).write_bytes(kept("vae.safetensors", autoencoder))
    with shared_traces():
        export_bundle(checkpoint, folder / "bundle", report=lambda line: None, precision=precision)
    return Exported(checkpoint, folder / "bundle")


def graph_of(checkpoint: Path, name: str, precision="fp32"):
    """The checkpoint and its graph `name`, loaded again, because an export casts it in place."""
    from latentpress.export.graphs.build import build_graphs
    from latentpress.export.reading.checkpoint import load_components

    parts = load_components(checkpoint)
    return parts, next(graph for graph in build_graphs(parts, precision) if graph.name == name)


def picture_file(folder: Path, name: str = "picture.png", size=(72, 80)) -> ImageFile:
    """Coloured tiles, `size` (width, height)."""
    tiles = np.random.default_rng(len(name)).integers(0, 255, (5, 6, 3), np.uint8)
    Image.fromarray(tiles).resize(size, Image.Resampling.NEAREST).save(folder / name)
    return ImageFile(file_sha256(folder / name), folder / name)


def mask_file(folder: Path, name: str = "mask.png", size=(72, 80)) -> ImageFile:
    """A white rectangle off centre on black."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    mask[20:60, 10:50] = 255
    Image.fromarray(mask).save(folder / name)
    return ImageFile(file_sha256(folder / name), folder / name)


def pixels(pipeline, *arguments, seed, **options):
    """The pipeline's picture, uint8 (H, W, 3), with its own CPU generator from `seed`."""
    images = pipeline(*arguments, generator=torch.Generator().manual_seed(seed), **options).images
    return np.asarray(images[0])
