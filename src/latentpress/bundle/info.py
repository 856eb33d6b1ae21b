"""Reads and verifies a bundle folder: `bundle.json` and the files it names. Knows nothing of how one is made.

bundle.json                 what everything below is, with each file's sha256
tokenizer/, tokenizer_2/    CLIPTokenizer files, concept tokens added; one folder for each text encoder
text_encoder.onnx           input_ids (batch, 77) int64 -> hidden_states (batch, layers, 77, D) float32, the one in use
                            without clip skip first, then the one of each layer skipped; -1 - id in place of an id is
                            the same token, hidden from the others
text_encoder_2.onnx         the same for SDXL's second encoder, and pooled (batch, P) float32
unet.onnx                   sample (batch, C, h, w), timestep (batch,), encoder_hidden_states (batch, tokens, D), and
                            for SDXL text_embeds (batch, P), time_ids (batch, n) -> noise_pred (batch, 4, h, w)
vae_encoder.onnx            sample (batch, 3, H, W) in -1..1 -> moments (batch, 8, h, w)
vae_decoder.onnx            latents (batch, 4, h, w), already divided by scaling_factor -> sample (batch, 3, H, W)
parity.safetensors          what torch gives for a few inputs; every engine on every machine is compared with it
vae_decoder.safetensors     the torch decoder's weights (post_quant_conv.*, decoder.*), for loss guidance
concepts.safetensors        ENCODER.TOKEN -> (n, D) float32: the vectors baked in
engines/                    engines built later and what they were measured at (engines/records.py); each carries
                            its own hashes, and none of it is part of the bundle's hash
"""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from latentpress.bundle.verified import Verified, recalled, remember, stamp
from latentpress.errors import BundleError

FORMAT_VERSION = 2
INPAINTING_CHANNELS = 9  # of a UNet's input: 4 of latents, 1 of the mask, 4 of the masked picture's latents
MANIFEST_NAME = "bundle.json"

PredictionType = Literal["epsilon", "v_prediction"]
# Of the text encoders' and the UNet's weights and arithmetic. Inputs and outputs are float32, and so is the whole VAE.
Precision = Literal["fp32", "fp16", "bf16"]
# What the graphs are made of; export/graphs/flavours.py says which engine each is for.
Flavour = Literal["plain", "attention", "mha", "cuda"]


class Concept(BaseModel):
    """A concept baked into the bundle: its token, the ids its vectors got (in every tokenizer), and its file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    token: str
    token_ids: list[int]
    sha256: str
    source: str


class Lora(BaseModel):
    """A LoRA fused into the bundle's weights at `scale`: its file's name and sha256, and how many layers it changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str
    sha256: str
    scale: float
    layers: int


class SeparateVae(BaseModel):
    """The VAE that replaced the checkpoint's own: its file's or folder's name and sha256."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str
    sha256: str


class Parity(BaseModel):
    """How far one output of one component, on one engine, is from torch in float32 on real inputs.

    engine: as on the command line, e.g. openvino:bf16; precision: of the component's graph; shapes: of the inputs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    component: str
    engine: str = "cpu"
    precision: Precision = "fp32"
    output: str
    shapes: str
    max_abs: float
    relative: float
    psnr: float
    bound: float


class RowTest(BaseModel):
    """Whether a component's rows have the same bits whatever else is in their batch, as tested on one engine.

    batches: the batch sizes tried, each with the row in several slots. equal: whether the row had the same bits in all of
    them. max_abs: the largest difference found, 0 where equal.
    bits: batch size -> a digest of the row's bits, for the sizes in which they depended neither on the slot nor on the
    other rows (for size 1: in which they were the same each time). Another process compares its own bits with the
    digest. None in records made before digests were kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    component: str
    engine: str
    batches: list[int]
    equal: bool
    max_abs: float
    bits: dict[int, str] | None = None


class TextEncoderInfo(BaseModel):
    """One text encoder: its graph is COMPONENT.onnx, `tokenizer` the folder of its tokenizer.

    hidden_size: width of its hidden states; layers: how many of them the graph gives, so that clip skip may be
    0 .. layers - 1; pooled_size: width of its pooled output, None where it has none; hides: whether the graph takes
    -1 - id for a token hidden from the others, which older graphs do not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    component: str
    tokenizer: str
    hidden_size: int
    layers: int
    pooled_size: int | None
    hides: bool = False


class AddedConditioning(BaseModel):
    """What SDXL's UNets take beside the hidden states: text_embeds (pooled_size,) and time_ids (time_ids,): 6 or 5."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    pooled_size: int
    time_ids: int


class BundleInfo(BaseModel):
    """The contents of `bundle.json`.

    family: a name in export's table of families, for people and messages; what it means for rendering stands in the other
    entries. cross_attention_dim: width of encoder_hidden_states, the text encoders' widths added up; unet_in_channels: 4,
    or 9 for an inpainting model; force_zeros_for_empty_prompt: a negative prompt that is not given is zeros, not ""
    encoded; requires_aesthetics_score: the last time id is an aesthetic score (the refiner), not a target size; loras: in
    the order they were fused; any_prompt_length: whether the UNet takes any number of tokens, and not max_tokens alone, as
    in older bundles; vae: None where the checkpoint's own was kept; engine: what the graphs were made for and a
    render uses unless told otherwise; parity, row_tests: measured at export.
    """

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
    text_encoders: list[TextEncoderInfo] = Field(min_length=1)
    cross_attention_dim: int
    unet_in_channels: int
    added_conditioning: AddedConditioning | None
    force_zeros_for_empty_prompt: bool
    requires_aesthetics_score: bool
    prediction_type: str
    precision: Precision = "fp32"
    flavour: Flavour = "plain"
    engine: str = "cpu"
    concepts: list[Concept]
    loras: list[Lora] = Field(default_factory=list[Lora])
    vae: SeparateVae | None = None
    any_prompt_length: bool = False
    parity: list[Parity]
    row_tests: list[RowTest] = []
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
        """token -> the ids it stands for in every text encoder, one per learned vector."""
        return {concept.token: concept.token_ids for concept in self.info.concepts}


def file_sha256(path: Path) -> str:
    """Lowercase hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def open_bundle(path: Path, *, verify: bool = True, cache: Path | None = None) -> Bundle:
    """Open the bundle folder at `path`.

    verify: hash every file it names first; without it they must only be there, within the folder, and what they hold is
    taken on trust. cache: the program's cache folder, where files that were hashed are remembered until they change, so
    that `verify` need not read them again. Raises BundleError naming the file that is missing, changed or unreadable.
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
    for name in info.files:
        _facts(path, name)
    if verify:
        _verify(path, info.files, cache)
    return Bundle(path, info, hashlib.sha256(raw).hexdigest())


def _facts(path: Path, name: str) -> os.stat_result:
    file = path / name
    if not file.resolve().is_relative_to(path.resolve()):
        raise BundleError(f"{path / MANIFEST_NAME}: file {name!r} lies outside the bundle; export the bundle again")
    try:
        facts = file.stat()
    except OSError as error:
        raise _unreadable(file, str(error.strerror)) from None
    if not stat.S_ISREG(facts.st_mode):
        raise _unreadable(file, "it is not a file")
    return facts


def _verify(path: Path, files: Mapping[str, str], cache: Path | None) -> None:
    known = recalled(cache, path) if cache else {}
    found: Verified = {}
    for name, expected in files.items():
        # Taken before the bytes are read: what is written meanwhile makes the file another one.
        found[name] = stamp(expected, _facts(path, name))
        if known.get(name) != found[name]:
            _verify_file(path / name, expected)
    if cache and found != known:
        remember(cache, path, found)


def _verify_file(file: Path, expected: str) -> None:
    try:
        found = file_sha256(file)
    except OSError as error:
        raise _unreadable(file, str(error.strerror)) from None
    if found != expected:
        raise BundleError(
            f"{file}: sha256 is {found[:12]}…, {MANIFEST_NAME} says {expected[:12]}…: the file was changed or damaged; "
            "export the bundle again"
        )


def _unreadable(file: Path, why: str) -> BundleError:
    return BundleError(f"{file}: cannot be read ({why}); export the bundle again")
