"""Opens a diffusers checkpoint folder of Stable Diffusion 1's shape; one sentence for each way it can be broken."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentpress.errors import CheckpointError
from latentpress.runtime.bundle import file_sha256

INDEX = "model_index.json"
PIPELINE = "StableDiffusionPipeline"
# component -> (its class, its config file)
COMPONENTS = {
    "text_encoder": ("CLIPTextModel", "config.json"),
    "tokenizer": ("CLIPTokenizer", "vocab.json"),
    "unet": ("UNet2DConditionModel", "config.json"),
    "vae": ("AutoencoderKL", "config.json"),
    "scheduler": (None, "scheduler_config.json"),
}


@dataclass(frozen=True)
class Components:
    """A loaded checkpoint: torch models in float32, the tokenizer, the scheduler's config as written."""

    text_encoder: Any
    tokenizer: Any
    unet: Any
    vae: Any
    scheduler: dict[str, Any]

    @property
    def max_tokens(self) -> int:
        """Tokens of one encoded prompt, start and end included: 77."""
        return int(self.text_encoder.config.max_position_embeddings)

    @property
    def latent_size(self) -> int:
        """Latents a side at the size the checkpoint was made for."""
        size = self.unet.config.sample_size
        return int(size if isinstance(size, int) else size[0])

    @property
    def latent_channels(self) -> int:
        return int(self.vae.config.latent_channels)

    @property
    def scaling_factor(self) -> float:
        return float(self.vae.config.scaling_factor)

    @property
    def vae_scale_factor(self) -> int:
        """Pixels per latent: each of the autoencoder's levels but the last halves the picture."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)


def check_checkpoint(folder: Path) -> None:
    """Look at `folder` without loading it; raises CheckpointError for what is missing, foreign or cut short."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; give a checkpoint in the diffusers folder layout, or `demo`")
    index = _read_json(folder / INDEX)
    found = index.get("_class_name")
    if found != PIPELINE:
        raise CheckpointError(f"{folder / INDEX}: the pipeline is {found!r}, only {PIPELINE} can be exported")
    for component, (kind, config) in COMPONENTS.items():
        entry = index.get(component)
        named: Any = entry[1] if isinstance(entry, list) and len(entry) == 2 else None  # pyright: ignore[reportUnknownArgumentType]
        if not (folder / component / config).is_file():
            raise CheckpointError(
                f"{folder / component}: {config} is missing; download the whole checkpoint, "
                f"{', '.join(COMPONENTS)} are needed"
            )
        # The Fast tokenizer of the same name reads the same files.
        if kind is not None and named not in (kind, f"{kind}Fast"):
            raise CheckpointError(f"{folder / INDEX}: {component} is {named!r}, only {kind} can be exported")
    for file in sorted(folder.glob("*/*.safetensors")):
        check_safetensors(file)


def check_safetensors(file: Path) -> None:
    """Compare the file's length with what its header promises; raises CheckpointError."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        # 100 MB is the format's own limit for a header.
        try:
            header: Any = json.loads(stream.read(length)) if 0 < length <= min(size, 100_000_000) else None
            ends = [int(entry["data_offsets"][1]) for key, entry in header.items() if key != "__metadata__"]
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            raise CheckpointError(f"{file}: not a safetensors file, or cut short; download it again") from None
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise CheckpointError(f"{file}: {size} bytes, its header promises {expected}; download it again")


def load_components(folder: Path) -> Components:
    """Check and load the checkpoint in `folder`; raises CheckpointError."""
    check_checkpoint(folder)
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    def load(component: str, kind: Any, **options: Any) -> Any:
        try:
            return kind.from_pretrained(folder / component, local_files_only=True, **options)
        except Exception as error:
            # Whatever the libraries raise here (theirs are many) means that the folder does not hold what it should.
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise CheckpointError(f"{folder / component}: cannot be loaded as {kind.__name__}: {reason}") from error

    # low_cpu_mem_usage needs accelerate, which is no dependency of ours.
    return Components(
        text_encoder=load("text_encoder", CLIPTextModel).float().eval(),
        tokenizer=load("tokenizer", CLIPTokenizer),
        unet=load("unet", UNet2DConditionModel, low_cpu_mem_usage=False).float().eval(),
        vae=load("vae", AutoencoderKL, low_cpu_mem_usage=False).float().eval(),
        scheduler=_read_json(folder / "scheduler" / "scheduler_config.json"),
    )


def source_sha256(folder: Path) -> str:
    """One sha256 over the names and contents of the checkpoint's configs, tokenizer files and weights."""
    digest = hashlib.sha256()
    files = [folder / INDEX, *(file for part in sorted(COMPONENTS) for file in sorted((folder / part).iterdir()))]
    for file in files:
        if file.is_file():
            digest.update(f"{file.relative_to(folder).as_posix()}\0{file_sha256(file)}\n".encode())
    return digest.hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); give a checkpoint in the diffusers folder layout"
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error}); download it again") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: not a JSON object; download it again")
    return value  # pyright: ignore[reportUnknownVariableType]
