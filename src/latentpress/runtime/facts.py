"""What planning needs to know of an opened bundle, and nothing that opens an engine. A fake one costs a few lines."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from latentpress.bundle.info import BaseCheckpoint, Lora, SeparateVae
from latentpress.runtime.prompts.parts import PromptCheck, Reading
from latentpress.runtime.request import RenderRequest
from latentpress.runtime.rules import Rule
from latentpress.runtime.work import Work, plain_work


@dataclass(frozen=True)
class BundleFacts:
    """What planning and metadata need to know of a bundle.

    hash: of bundle.json, by which the very folder is known; content: of what decides pixels in it, its concepts apart, made
    of `parts`, each part's name -> its sha256; vectors: token -> sha256 of what the concept teaches each text encoder;
    source: of what it was exported from, so that another export of the same is known as such;
    default_size: (height, width) in pixels; concepts: token -> sha256 of its file; ordinary: those that are ordinary
    words too; check: what its tokenizer says of a prompt;
    plain: the concepts in a prompt that is read whole, in one chunk, of which there is nothing to say and which no rule
    touches, None where only `check` can tell; alike: equal for prompts that the same rules touch in requests that are equal
    otherwise, None where only `rules` can tell;
    loras, vae: what was fused into it, and the VAE that replaced the checkpoint's own, if any; base: what a lone UNet's
    other parts are from;
    zeros_for_no_negative: a negative prompt that is not given differs from an empty one;
    vae_scale_factor: pixels a latent; inpainting: whether the UNet sees the mask and the masked picture;
    refusal: (field, reason) where the bundle, or the refiner of a request, cannot do what is asked, else None;
    notes: (field, what is said of it) for what a request asks that the bundle has no use for;
    rules: those of `runtime.rules` that touch a request, in the order in which they came to be; work: what a request, one
    that is not refused, takes of the engines.
    """

    hash: str
    name: str
    source_sha256: str
    default_size: tuple[int, int]
    concepts: Mapping[str, str]
    versions: Mapping[str, str]
    check: Callable[[str, Reading], PromptCheck]
    content: str = ""
    parts: Mapping[str, str] = field(default_factory=dict[str, str])
    vectors: Mapping[str, str] = field(default_factory=dict[str, str])
    source: str = ""
    ordinary: tuple[str, ...] = ()
    plain: Callable[[str, Reading], tuple[str, ...] | None] = lambda prompt, reading: None
    alike: Callable[[str, Reading], bool | None] = lambda prompt, reading: None
    loras: tuple[Lora, ...] = ()
    vae: SeparateVae | None = None
    base: BaseCheckpoint | None = None
    zeros_for_no_negative: bool = False
    vae_scale_factor: int = 8
    inpainting: bool = False
    refusal: Callable[[RenderRequest], tuple[str, str] | None] = lambda request: None
    notes: Callable[[RenderRequest], list[tuple[str, str]]] = lambda request: []
    rules: Callable[[RenderRequest], tuple[Rule, ...]] = lambda request: ()
    work: Callable[[RenderRequest], Work] = plain_work


# A bundle as the manifest names it (`demo`, or a path) -> what is known of it; refiners are among them.
Bundles = Mapping[str, BundleFacts]
