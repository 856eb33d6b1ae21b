"""Reads and verifies a bundle folder: `bundle.json` and the files it names. Knows nothing of how one is made.

bundle.json                 what everything below is, with each file's sha256
tokenizer/                  CLIPTokenizer files, concept tokens added
text_encoder.onnx           input_ids (batch, 77) int64 -> last_hidden_state (batch, 77, D) float32
unet.onnx                   sample, timestep (batch,), encoder_hidden_states -> noise_pred
vae_encoder.onnx            sample (batch, 3, H, W) in -1..1 -> moments (batch, 8, h, w)
vae_decoder.onnx            latents (batch, 4, h, w), already divided by scaling_factor -> sample (batch, 3, H, W)
vae_decoder.safetensors     the torch decoder's weights (post_quant_conv.*, decoder.*), for loss guidance
concepts.safetensors        token -> (n, D) float32: the vectors baked in
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from latentpress.errors import BundleError

FORMAT_VERSION = 1
MANIFEST_NAME = "bundle.json"


class Concept(BaseModel):
    """A concept baked into the bundle: its token, the ids its vectors got, and the file it came from."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    token: str
    token_ids: list[int]
    sha256: str
    source: str


class Parity(BaseModel):
    """How far one exported component is from torch on real inputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    component: str
    shapes: str
    max_abs: float
    relative: float
    psnr: float
    bound: float


class BundleInfo(BaseModel):
    """The contents of `bundle.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format_version: int
    name: str
    family: str
    source_sha256: str
    files: dict[str, str]
    scheduler: dict[str, Any]
    vae_config: dict[str, Any]
    scaling_factor: float
    vae_scale_factor: int
    latent_channels: int
    default_size: tuple[int, int]
    max_tokens: int
    hidden_size: int
    prediction_type: str
    concepts: list[Concept]
    parity: list[Parity]
    versions: dict[str, str]


class Bundle:
    """An opened bundle: `path`, `info`, and `hash`, the sha256 of bundle.json's bytes (which name every file's)."""

    def __init__(self, path: Path, info: BundleInfo, digest: str) -> None:
        self.path = path
        self.info = info
        self.hash = digest

    def file(self, name: str) -> Path:
        """The path of one of the bundle's files."""
        return self.path / name

    @property
    def concept_ids(self) -> dict[str, list[int]]:
        """token -> the ids it stands for in the text encoder, one per learned vector."""
        return {concept.token: concept.token_ids for concept in self.info.concepts}


def file_sha256(path: Path) -> str:
    """Lowercase hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def open_bundle(path: Path, *, verify: bool = True) -> Bundle:
    """Open the bundle folder at `path`; with `verify`, hash every file it names first.

    Raises BundleError naming the file that is missing, changed or unreadable.
    """
    path = Path(path)
    manifest = path / MANIFEST_NAME
    try:
        raw = manifest.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path}: not a bundle, {MANIFEST_NAME} cannot be read ({error.strerror}); "
            "make one with `latentpress export CHECKPOINT -o BUNDLE`"
        ) from None
    try:
        data = json.loads(raw)
    except ValueError as error:
        raise BundleError(f"{manifest}: not JSON ({error}); export the bundle again") from None
    version = data.get("format_version") if isinstance(data, dict) else None  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType]
    if version != FORMAT_VERSION:
        raise BundleError(
            f"{manifest}: format_version is {version!r}, this latentpress reads {FORMAT_VERSION}; "
            "export the bundle again"
        )
    try:
        info = BundleInfo.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{manifest}: {where}: {first['msg']}; export the bundle again") from None
    if verify:
        for name, expected in info.files.items():
            _verify(path, name, expected)
    return Bundle(path, info, hashlib.sha256(raw).hexdigest())


def _verify(path: Path, name: str, expected: str) -> None:
    file = path / name
    if not file.resolve().is_relative_to(path.resolve()):
        raise BundleError(f"{path / MANIFEST_NAME}: file {name!r} lies outside the bundle; export the bundle again")
    try:
        found = file_sha256(file)
    except OSError as error:
        raise BundleError(f"{file}: cannot be read ({error.strerror}); export the bundle again") from None
    if found != expected:
        raise BundleError(
            f"{file}: sha256 is {found[:12]}…, {MANIFEST_NAME} says {expected[:12]}…: the file was changed or damaged; "
            "export the bundle again"
        )
