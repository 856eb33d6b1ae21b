"""The kinds of LoRA files, as their trainers name the layers."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from latentpress.testing.corpus.kind import FileKind

# The layer of Stable Diffusion 1's UNet that every LoRA of the corpus changes, 64 numbers wide on both sides.
LAYER, WIDTH, RANK = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", 64, 4


def matrices() -> tuple[torch.Tensor, torch.Tensor]:
    """down (RANK, WIDTH) and up (WIDTH, RANK); the same each time."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(RANK, WIDTH, generator=generator), torch.randn(WIDTH, RANK, generator=generator)


def _kohya(folder: Path) -> Path:
    down, up = matrices()
    name = f"lora_unet_{LAYER.replace('.', '_')}"
    state = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": torch.tensor(2.0)}
    save_file(state, folder / "style.safetensors")
    return folder / "style.safetensors"


LORAS: dict[str, FileKind] = {
    "lora-kohya": FileKind("lora", _kohya),
}
