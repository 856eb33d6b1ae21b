"""A request that uses every field, and a bundle of which every A1111 key has something to say."""

from pathlib import Path

from latentpress.bundle.info import Lora, SeparateVae
from latentpress.runtime.facts import BundleFacts
from latentpress.runtime.prompts.parts import PromptCheck
from latentpress.runtime.request import ImageFile, LossSpec, MicroConditioning, Refiner, RenderRequest

EVERYTHING = RenderRequest(
    prompt='a "möuse",\\ "seed":7, in {braces}\n',
    seed=2**64 - 1,
    height=512,
    width=768,
    sampler="dpmpp_2m_karras",
    steps=30,
    guidance_scale=7.0,
    negative_prompt=None,
    losses=(
        LossSpec("canny", 200.0, 5, 0.0, 0.5, {"low": 100, "high": 200.0}),
        LossSpec("mine", 1.0, params={"seed": 3, "mode": "x"}),
    ),
    guidance_rescale=0.5,
    clip_skip=1,
    eta=0.25,
    init_image=ImageFile("a" * 64, Path("in/picture.png")),
    mask_image=ImageFile("b" * 64, Path("in/mask.png"), ("mask-alpha", "thin-mask")),
    picture_reading="diffusers",
    background="#ff0000",
    strength=0.75,
    refiner=Refiner("c" * 64, 0.8),
    micro=MicroConditioning((600, 1000), (8, 16), None, 5),
    prompt_weighting="a1111",
    long_prompts="chunks",
    guidance_stop=0.9,
    text_cleaning="clip",
    timesteps=(999, 749, 0),
)
FACTS = BundleFacts(
    hash="c" * 64,
    name="whole",
    source_sha256="0" * 64,
    default_size=(64, 64),
    concepts={},
    versions={},
    check=lambda text, reading: PromptCheck(0, 75, "", ()),
    loras=(Lora(source="a.safetensors", sha256="1" * 64, scale=0.8, layers=1, a1111_hash="3" * 64),),
    vae=SeparateVae(source="vae.safetensors", sha256="2" * 64),
)
