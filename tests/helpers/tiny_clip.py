"""A CLIP model of a few thousand weights with its tokenizer, saved as transformers saves one."""

import json
import string
import tempfile
from functools import lru_cache
from pathlib import Path

from latentpress.runtime.guidance.clip_files import clip_sha256
from latentpress.runtime.request import ImageFile

SIDE = 16


def save_tiny_clip(folder, seed=0):
    import torch
    from transformers import CLIPConfig, CLIPModel

    tokens = [
        "<|startoftext|>",
        "<|endoftext|>",
        *string.ascii_lowercase,
        *(f"{one}</w>" for one in string.ascii_lowercase),
    ]
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    texts = {**small, "vocab_size": len(tokens), "max_position_embeddings": 24, "bos_token_id": 0, "eos_token_id": 1}
    pictures = {**small, "image_size": SIDE, "patch_size": 4}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIPModel(CLIPConfig(text_config=texts, vision_config=pictures, projection_dim=8))
        for weight in model.parameters():  # transformers' are so small that no picture differs from another
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


@lru_cache(1)
def tiny_clip():
    """One that all tests of a run may read, as a loss has it."""
    folder = save_tiny_clip(Path(tempfile.mkdtemp()) / "clip")
    return ImageFile(clip_sha256(folder), folder)
