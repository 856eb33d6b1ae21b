"""What a bundle's graphs are and take: each component's role, its inputs and outputs, its precision. Knows no file.

Sizes that a call is free to choose have names: batch (rows), height and width (of the latents), pixel_height and
pixel_width (of the picture), tokens (of an encoded prompt). All inputs and outputs are float32 but for int64 input_ids.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from latentpress.bundle.distilled import TIMESTEP_COND

# Of weights and arithmetic; every input and output is float32 whatever it is.
Precision = Literal["fp32", "fp16", "bf16"]
# text: prompts to hidden states; denoiser: what the loop calls for each step; encoder, decoder: pictures to latents, back.
Role = Literal["text", "denoiser", "encoder", "decoder"]
Size = int | Literal["batch", "height", "width", "pixel_height", "pixel_width", "tokens"]

_LATENTS: tuple[Size, Size] = ("height", "width")
_PIXELS: tuple[Size, Size] = ("pixel_height", "pixel_width")


class TensorSpec(BaseModel):
    """An input or output of a graph: its name, and each axis' size, a number or the name of a free size."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    shape: list[Size]


class Component(BaseModel):
    """One graph of a bundle, NAME.onnx: inputs and outputs in the graph's order; precision: of its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    role: Role
    precision: Precision
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


class AddedConditioning(BaseModel):
    """What SDXL's UNets take beside the hidden states: text_embeds (pooled_size,) and time_ids (time_ids,): 6 or 5."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    pooled_size: int
    time_ids: int


class TextWidths(Protocol):
    """What the shapes of a text encoder depend on."""

    @property
    def component(self) -> str: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def layers(self) -> int: ...
    @property
    def pooled_size(self) -> int | None: ...


class Widths(Protocol):
    """What the shapes of the other components depend on: a bundle's facts, or a checkpoint's."""

    @property
    def max_tokens(self) -> int: ...
    @property
    def cross_attention_dim(self) -> int: ...
    @property
    def unet_in_channels(self) -> int: ...
    @property
    def added_conditioning(self) -> AddedConditioning | None: ...
    @property
    def guidance_embedding(self) -> int | None: ...
    @property
    def latent_channels(self) -> int: ...


def stable_diffusion_components(
    widths: Widths, texts: Iterable[TextWidths], precision: Precision, *, any_prompt_length: bool = True
) -> list[Component]:
    """The components of a Stable Diffusion bundle: its text encoders, the UNet, the autoencoder's two halves.

    precision: of the text encoders and the UNet; in float16 SDXL's autoencoder and some SD 1's overflow, and with TF32
    its share of the time is small, so that it is float32 in every bundle. any_prompt_length: whether the UNet takes any
    number of tokens, and not max_tokens alone.
    """
    tokens: Size = "tokens" if any_prompt_length else widths.max_tokens
    latents: list[Size] = ["batch", widths.latent_channels, *_LATENTS]
    pixels: list[Size] = ["batch", 3, *_PIXELS]
    unet = [
        _tensor("sample", "batch", widths.unet_in_channels, *_LATENTS),
        _tensor("timestep", "batch"),
        _tensor("encoder_hidden_states", "batch", tokens, widths.cross_attention_dim),
    ]
    if (added := widths.added_conditioning) is not None:
        unet.append(_tensor("text_embeds", "batch", added.pooled_size))
        unet.append(_tensor("time_ids", "batch", added.time_ids))
    if (size := widths.guidance_embedding) is not None:
        unet.append(_tensor(TIMESTEP_COND, "batch", size))
    moments = _tensor("moments", "batch", 2 * widths.latent_channels, *_LATENTS)
    return [
        *(_text(widths.max_tokens, text, precision) for text in texts),
        _component("unet", "denoiser", precision, unet, [_tensor("noise_pred", *latents)]),
        _component("vae_encoder", "encoder", "fp32", [_tensor("sample", *pixels)], [moments]),
        _component("vae_decoder", "decoder", "fp32", [_tensor("latents", *latents)], [_tensor("sample", *pixels)]),
    ]


def _text(max_tokens: int, text: TextWidths, precision: Precision) -> Component:
    outputs = [_tensor("hidden_states", "batch", text.layers, max_tokens, text.hidden_size)]
    if text.pooled_size is not None:
        outputs.append(_tensor("pooled", "batch", text.pooled_size))
    return _component(text.component, "text", precision, [_tensor("input_ids", "batch", max_tokens)], outputs)


def _component(
    name: str, role: Role, precision: Precision, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> Component:
    return Component(name=name, role=role, precision=precision, inputs=list(inputs), outputs=list(outputs))


def _tensor(name: str, *shape: Size) -> TensorSpec:
    return TensorSpec(name=name, shape=list(shape))
