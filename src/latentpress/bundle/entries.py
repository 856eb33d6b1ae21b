"""What stands in lists of `bundle.json`: concepts, LoRAs, text encoders, and what was measured at export."""

from pydantic import BaseModel, ConfigDict

from latentpress.bundle.components import Precision


class Concept(BaseModel):
    """A concept baked into the bundle: its token, the ids its vectors got (in every tokenizer), and its file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    token: str
    token_ids: list[int]
    sha256: str
    source: str


class Lora(BaseModel):
    """A LoRA fused into the bundle's weights at `scale`: its file's name and sha256, and how many layers it changed.

    a1111_hash: what A1111 and Civitai know it by; "" in older bundles, and where it lies in several files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str
    sha256: str
    scale: float
    layers: int
    a1111_hash: str = ""


class SeparateVae(BaseModel):
    """The VAE that replaced the checkpoint's own: its file's or folder's name and sha256."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str
    sha256: str


class BaseCheckpoint(BaseModel):
    """The checkpoint that a lone UNet was exported with: its name and sha256, as `source_sha256` is one's."""

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
