"""A manifest with four concepts that its bundle lacks, and the concepts' files."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from latentpress.manifest.manifest import read_manifest
from latentpress.models import models_for

# Token -> vectors: one, several, an ordinary word, and the name that diffusers gives the second vector of `<many>`.
TOKENS = {"<mine>": 1, "<many>": 3, "owl": 1, "<many>_1": 2}
MANIFEST = """\
version: 1
name: m
model: bundle
concepts:
  <mine>: mine.safetensors
  <many>: many.safetensors
  owl: owl.safetensors
  <many>_1: other.safetensors
defaults: {steps: 2, size: 64x64, sampler: ddim}
matrix:
  prompt: ["a <mine> kite", "<many>, <many>", "an owl and an owlet", "a kite"]
  seed: 1..2
"""
FILES = dict(zip(TOKENS, ("mine", "many", "owl", "other"), strict=True))


def concept(path, count, widths, seed):
    """A concept of `count` random vectors for text encoders of these widths."""
    noise = torch.Generator().manual_seed(seed)
    keys = ("clip_l", "clip_g") if len(widths) > 1 else ("emb_params",)
    save_file(
        {key: torch.randn((count, width), generator=noise) for key, width in zip(keys, widths, strict=True)}, path
    )


def made_ready(original, tmp_path, monkeypatch):
    shutil.copytree(original.path, tmp_path / "bundle")
    widths = [encoder.hidden_size for encoder in original.info.text_encoders]
    for seed, (token, stem) in enumerate(FILES.items()):
        concept(tmp_path / f"{stem}.safetensors", TOKENS[token], widths, seed)
    (tmp_path / "m.yaml").write_text(MANIFEST)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def opened(folder, **options):
    (found,) = models_for(read_manifest(Path("m.yaml")), folder / "cache", **options).bundles.values()
    return found
