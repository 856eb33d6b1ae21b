"""What a family of checkpoints is: one frozen `Family` for each, with everything the rest of export asks about it.

What the published configurations say (widths, latents, schedule, size) is read from them (`family_config`), so it stands
in no second place here. Knows neither torch nor how a file is read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from latentpress.export.families.clip_files import EOS

# (training step or None, the UNet's input channels, the UNet's tensors by LDM's names) -> (prediction type, why)
GuessPrediction = Callable[[int | None, int, Mapping[str, Any]], tuple[str, str]]


@dataclass(frozen=True)
class Component:
    """A part of a checkpoint in the diffusers folder layout: the folder `name`, which must hold `file`.

    class_name: the class of `library` that the pipeline must name for it; None where any will do (schedulers).
    """

    name: str
    library: Literal["diffusers", "transformers"]
    class_name: str | None
    file: str = "config.json"

    def load_class(self) -> Any:
        """The class itself. Imports torch."""
        assert self.class_name is not None
        return getattr(import_module(self.library), self.class_name)


@dataclass(frozen=True)
class TextEncoder:
    """A text encoder with its tokenizer.

    file_prefixes: where single files keep it, the first that a file has counts; file_names: whose names its weights have
    there. lora_prefix: how kohya's names of its layers begin. pad: the token that fills a prompt up. penultimate: the
    hidden state in use is the last but one, without the final layer norm, not the last with it. drops_last_layer: single
    files hold one layer more than is used, and a projection that is not.
    """

    model: Component
    tokenizer: Component
    file_prefixes: tuple[str, ...]
    file_names: Literal["transformers", "open_clip"]
    lora_prefix: str
    pad: str = EOS
    penultimate: bool = False
    drops_last_layer: bool = False

    @property
    def name(self) -> str:
        """The component's name: text_encoder or text_encoder_2."""
        return self.model.name

    @property
    def pooled(self) -> bool:
        """Whether it gives a projected pooled output too."""
        return str(self.model.class_name).endswith("WithProjection")


@dataclass(frozen=True)
class Denoiser:
    """The network that predicts the noise.

    title: what an error calls it, with its article. file_prefix: where single files keep it; file_has, file_lacks: keys,
    after the prefix, that tell it from other families' there. marks: entries of its configuration that tell it from other
    families' with the same pipelines and text encoders. head_channels: channels of each attention head, which no tensor
    shows; None where their number is fixed instead, as the published configuration says.
    """

    component: Component
    title: str
    file_prefix: str
    file_has: tuple[str, ...] = ()
    file_lacks: tuple[str, ...] = ()
    marks: Mapping[str, Any] = field(default_factory=dict[str, Any])
    head_channels: int | None = None
    lora_prefix: str = "lora_unet_"

    def in_file(self, keys: Mapping[str, Any]) -> bool:
        """Whether a single file with these `keys` holds it."""
        return (
            any(key.startswith(self.file_prefix) for key in keys)
            and all(self.file_prefix + key in keys for key in self.file_has)
            and not any(self.file_prefix + key in keys for key in self.file_lacks)
        )


@dataclass(frozen=True)
class Family:
    """A family of checkpoints.

    name: as bundle.json and --family say it; title: as messages do. configurations: the folder of its published
    configurations, COMPONENT.json each, and model_index.json. pipelines: diffusers' classes whose folders may be it;
    inpainting_pipeline: the one of them that a single file with a mask's channels gets. text_encoders: in the order their
    hidden states are joined. vae_prefixes: where single files keep the VAE.

    guess_prediction: tells what a single file's UNet predicts that says so nowhere else; None: what the published
    scheduler says. sample_sizes: prediction type -> latents a side, where that is not the published UNet's.

    lora_names: how the base model in a LoRA's header begins; lora_marks: how names of layers begin that show the family.
    """

    name: str
    title: str
    configurations: Path
    pipelines: tuple[str, ...]
    inpainting_pipeline: str
    text_encoders: tuple[TextEncoder, ...]
    denoiser: Denoiser
    vae: Component
    vae_prefixes: tuple[str, ...] = ("first_stage_model.", "vae.")
    guess_prediction: GuessPrediction | None = None
    sample_sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    lora_names: tuple[str, ...] = ()
    lora_marks: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[Component, ...]:
        """The components with weights: the text encoders, the denoiser, the VAE."""
        return (*(encoder.model for encoder in self.text_encoders), self.denoiser.component, self.vae)

    @property
    def components(self) -> tuple[Component, ...]:
        """All that an export needs of a folder, in the order messages list them."""
        texts = self.text_encoders
        return (
            *(encoder.model for encoder in texts),
            *(encoder.tokenizer for encoder in texts),
            self.denoiser.component,
            self.vae,
            SCHEDULER,
        )

    def component(self, name: str) -> Component:
        """The component called `name`."""
        return next(component for component in self.components if component.name == name)

    def text_encoder(self, name: str) -> TextEncoder:
        """The text encoder called `name`."""
        return next(encoder for encoder in self.text_encoders if encoder.name == name)


@dataclass(frozen=True)
class Latents:
    """What a family's VAE makes of pictures: latents = scaling_factor * (encoded - shift_factor).

    shift_factor: None for a VAE without one, as of every family so far. bundle.json and the runtime have no place for one
    yet: the first family with a shift brings it to them.
    """

    channels: int
    scaling_factor: float
    shift_factor: float | None

    @property
    def unet_channels(self) -> tuple[int, int]:
        """Channels a UNet may take: the latents; for inpainting also a mask and the masked picture's latents."""
        return self.channels, 2 * self.channels + 1


def time_ids(aesthetics_score: bool) -> int:
    """How many time ids SDXL's UNets take: size, crop and target size, two each, or a score instead of the last two."""
    return 5 if aesthetics_score else 6


# Every family has one; its class is not ours to build, its settings are read.
SCHEDULER = Component("scheduler", "diffusers", None, "scheduler_config.json")
UNET = Component("unet", "diffusers", "UNet2DConditionModel")
AUTOENCODER = Component("vae", "diffusers", "AutoencoderKL")
CLIP = Component("text_encoder", "transformers", "CLIPTextModel")
CLIP_TOKENIZER = Component("tokenizer", "transformers", "CLIPTokenizer", "vocab.json")
