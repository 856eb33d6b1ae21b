"""Reads and verifies a bundle folder: `bundle.json` and the files it names. Knows nothing of how one is made.

bundle.json                 what everything below is, with each file's sha256, each graph's role, inputs and outputs, and
                            what of it decides pixels (content.py)
tokenizer/, tokenizer_2/    CLIPTokenizer files, concept tokens added; one folder for each text encoder
text_encoder.onnx           input_ids (batch, 77) int64 -> hidden_states (batch, layers, 77, D) float32, the one in use
                            without clip skip first, then the one of each layer skipped; -1 - id in place of an id is
                            the same token, hidden from the others
text_encoder_2.onnx         the same for SDXL's second encoder, and pooled (batch, P) float32
unet.onnx                   sample (batch, C, h, w), timestep (batch,), encoder_hidden_states (batch, tokens, D), and
                            for SDXL text_embeds (batch, P), time_ids (batch, n), and for LCM timestep_cond (batch, G),
                            the guidance scale (bundle/distilled.py) -> noise_pred (batch, 4, h, w)
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
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from latentpress.bundle import verified
from latentpress.bundle.components import AddedConditioning, Component, Precision, Role, stable_diffusion_components
from latentpress.bundle.distilled import TIMESTEP_COND
from latentpress.bundle.entries import BaseCheckpoint as BaseCheckpoint
from latentpress.bundle.entries import Concept as Concept
from latentpress.bundle.entries import Lora as Lora
from latentpress.bundle.entries import Parity as Parity
from latentpress.bundle.entries import RowTest as RowTest
from latentpress.bundle.entries import SeparateVae as SeparateVae
from latentpress.bundle.entries import TextEncoderInfo as TextEncoderInfo
from latentpress.bundle.overlay import FILE as OVERLAY_FILE
from latentpress.bundle.overlay import Overlay, read_overlay
from latentpress.bundle.taught import Taught
from latentpress.bundle.verified import INFO_FILE, check_there
from latentpress.bundle.verified import file_sha256 as file_sha256
from latentpress.errors import BundleError
from latentpress.files import MAX_JSON_BYTES, read_regular

FORMAT_VERSION = 3
UNLISTED = 2  # the format whose bundles are Stable Diffusion's and do not say what their components are
INPAINTING_CHANNELS = 9  # of a UNet's input: 4 of latents, 1 of the mask, 4 of the masked picture's latents

PredictionType = Literal["epsilon", "v_prediction"]
# What the graphs are made of; export/graphs/flavours.py says which engine each is for.
Flavour = Literal["plain", "attention", "mha", "cuda"]


class BundleInfo(BaseModel):
    """The contents of `bundle.json`.

    components: the graphs, in the order in which a picture needs them first, except for the encoder of given pictures;
    precision: of the text encoders and the UNet, as it was asked for; family: a name in export's table of families, for
    people and messages; what it means for rendering stands in the other entries. cross_attention_dim: width of
    encoder_hidden_states, the text encoders' widths added up; unet_in_channels: 4, or 9 for an inpainting model;
    force_zeros_for_empty_prompt: a negative prompt that is not given is zeros, not "" encoded;
    requires_aesthetics_score: the last time id is an aesthetic score (the refiner), not a target size; loras: in the
    order they were fused; any_prompt_length: whether the UNet takes any number of tokens, and not max_tokens alone, as
    in older bundles; vae: None where the checkpoint's own was kept; base: what gave all parts but the UNet, where
    source_sha256 is a lone UNet's; sizes: bytes of each of `files`, empty in older bundles; revisions: ORG/NAME on a hub ->
    the commit whose files were read; content: part -> sha256 of what in it decides pixels, empty in older bundles; engine:
    what the graphs were made for and a render uses unless told otherwise; parity, row_tests: measured at export.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    format_version: int
    name: str
    family: str
    source_sha256: str
    files: dict[str, str]
    sizes: dict[str, int] = Field(default_factory=dict[str, int])
    components: list[Component]
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
    base: BaseCheckpoint | None = None
    revisions: dict[str, str] = Field(default_factory=dict[str, str])
    content: dict[str, str] = Field(default_factory=dict[str, str])
    any_prompt_length: bool = False
    parity: list[Parity]
    row_tests: list[RowTest] = []
    versions: dict[str, str]

    def component(self, name: str) -> Component:
        """The component of that name, which the bundle has."""
        return next(component for component in self.components if component.name == name)

    @property
    def component_names(self) -> list[str]:
        """The components' names, in their order."""
        return [component.name for component in self.components]

    @property
    def denoiser(self) -> Component:
        """What the denoising loop calls."""
        return self._only("denoiser")

    @property
    def encoder(self) -> Component:
        """Given pictures to latents."""
        return self._only("encoder")

    @property
    def decoder(self) -> Component:
        """Latents to pictures."""
        return self._only("decoder")

    @property
    def inpainting(self) -> bool:
        """Whether the denoiser takes a mask and the masked picture beside the latents."""
        return self.unet_in_channels == INPAINTING_CHANNELS

    @property
    def guidance_embedding(self) -> int | None:
        """The width of the denoiser's guidance input (LCM), which stands in for classifier-free guidance; None without."""
        specs = (spec for component in self.components for spec in component.inputs if spec.name == TIMESTEP_COND)
        return next((size for spec in specs if isinstance(size := spec.shape[-1], int)), None)

    def _only(self, role: Role) -> Component:
        found = [component for component in self.components if component.role == role]
        if len(found) != 1:
            raise BundleError(
                f"bundle {self.name}: has {len(found)} components of role {role}; export the bundle again"
            )
        return found[0]


class Bundle:
    """An opened bundle: `path`, `info`, and `hash`, the sha256 of bundle.json's bytes (which name every file's).

    cache: the program's cache folder, if it was opened with one; keeps: whether what is found out about the bundle may be
    remembered there; overlay, base: of a set of concepts (overlay.py), what its folder says and the bundle that has the
    files it lacks; taught: concepts that are known of and are in no file, of a bundle that is planned with.
    """

    def __init__(
        self,
        path: Path,
        info: BundleInfo,
        digest: str,
        cache: Path | None = None,
        *,
        keeps: bool = True,
        overlay: Overlay | None = None,
        base: "Bundle | None" = None,
        taught: Taught | None = None,
    ) -> None:
        self.path = path
        self.info = info
        self.hash = digest
        self.cache = cache
        self.keeps = keeps
        self.overlay = overlay
        self.base = base
        self.taught = taught

    def file(self, name: str) -> Path:
        """The path of one of the bundle's files; for a component's graph also the folder of its engines lies beside it."""
        if self.base is not None and name in self.info.files and name not in self._own_files:
            return self.base.file(name)
        return self.path / name

    @property
    def concept_ids(self) -> dict[str, list[int]]:
        """token -> the ids it stands for in every text encoder, one per learned vector."""
        return {concept.token: concept.token_ids for concept in self.info.concepts}

    def verify(self) -> None:
        """Hash every file, those excepted that `cache` remembers; raises BundleError for a wrong one."""
        if self.base is not None:
            self.base.verify()
        verified.verify(self.path, self._own_files, self.info.sizes, self.cache, keep=self.keeps)

    def glance(self) -> None:
        """As `verify`, as far as that can be told without reading large files."""
        if self.base is not None:
            self.base.glance()
        verified.glance(self.path, self._own_files, self.info.sizes, self.cache)

    @cached_property
    def _own_files(self) -> dict[str, str]:
        own = self.info.files if self.overlay is None else self.overlay.own
        return {name: self.info.files[name] for name in own}


def open_bundle(path: Path, *, verify: bool = True, cache: Path | None = None, keep: bool = True) -> Bundle:
    """Open the bundle folder at `path`.

    verify: hash every file it names first; without it they must only be there, within the folder, and what they hold is
    taken on trust. cache: the program's cache folder, where files that were hashed are remembered until they change, so
    that `verify` need not read them again; keep: whether anything is written there. Raises BundleError naming the file
    that is missing, changed or unreadable.
    """
    path = Path(path)
    file = path / INFO_FILE
    try:
        raw = read_regular(file, MAX_JSON_BYTES)
    except OSError as error:
        raise BundleError(
            f"{path}: not a bundle, {INFO_FILE} cannot be read ({error.strerror}); "
            "make one with `latentpress export CHECKPOINT -o BUNDLE`"
        ) from None
    try:
        data = json.loads(raw)
    except ValueError as error:
        raise BundleError(f"{file}: not JSON ({error}); export the bundle again") from None
    version = data.get("format_version") if isinstance(data, dict) else None  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType]
    if version not in (FORMAT_VERSION, UNLISTED):
        raise BundleError(
            f"{file}: format_version is {version!r}, this latentpress reads {FORMAT_VERSION}; export the bundle again"
        )
    try:
        info = BundleInfo.model_validate(data) if version == FORMAT_VERSION else _listed(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{file}: {where}: {first['msg']}; export the bundle again") from None
    overlay = read_overlay(path)
    base = None if overlay is None else _base(path, overlay, info, cache, keep)
    bundle = Bundle(path, info, hashlib.sha256(raw).hexdigest(), cache, keeps=keep, overlay=overlay, base=base)
    for name in info.files if overlay is None else overlay.own:
        check_there(path, name)
    if verify:
        bundle.verify()
    return bundle


def _base(path: Path, overlay: Overlay, info: BundleInfo, cache: Path | None, keep: bool) -> Bundle:
    """The bundle that has the files which the one at `path` lacks."""
    if read_overlay(Path(overlay.base)) is not None:
        raise BundleError(f"{path / OVERLAY_FILE}: its base {overlay.base} is a set of concepts itself; delete {path}")
    try:
        base = open_bundle(Path(overlay.base), verify=False, cache=cache, keep=keep)
    except BundleError as error:
        raise BundleError(f"{path}: is a set of concepts on another bundle, which cannot be used: {error}") from None
    own = set(overlay.own)
    if own - info.files.keys() or {(name, sha) for name, sha in info.files.items() if name not in own} - set(
        base.info.files.items()
    ):
        raise BundleError(
            f"{path}: is a set of concepts on the bundle {overlay.base}, which is another one now; render the manifest "
            "that it is for again, or put the bundle back"
        )
    return base


def _listed(data: dict[str, Any]) -> BundleInfo:
    """The contents of a bundle.json of format 2, with the components that all its bundles have; its bytes stay the hash.

    It stays of its format, also when concepts are added: else they would make other jobs of those that are rendered.
    """
    info = BundleInfo.model_validate({**data, "components": []})
    listed = stable_diffusion_components(
        info, info.text_encoders, info.precision, any_prompt_length=info.any_prompt_length
    )
    return info.model_copy(update={"components": listed})
