"""What a bundle cannot do for a request, said before anything is rendered."""

from dataclasses import replace
from pathlib import Path

import pytest

from latentpress.bundle.components import AddedConditioning, Component, TensorSpec
from latentpress.bundle.info import BundleInfo, TextEncoderInfo
from latentpress.runtime.limits import Limits
from latentpress.runtime.request import ImageFile, Refiner, RenderRequest

TRAINING = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
IMAGE, MASK = ImageFile("a" * 64, Path("a.png")), ImageFile("b" * 64, Path("b.png"))
PLAIN = RenderRequest("a mouse", 1, 64, 64, "euler", 20, 7.5)


def info(family="sdxl", channels=4, layers=12):
    encoder = TextEncoderInfo(
        component="text_encoder", tokenizer="tokenizer", hidden_size=8, layers=layers, pooled_size=None
    )
    refiner = family == "sdxl_refiner"
    added = AddedConditioning(pooled_size=8, time_ids=5 if refiner else 6) if family.startswith("sdxl") else None
    return BundleInfo.model_construct(
        name=family,
        components=[],
        family=family,
        scheduler=TRAINING,
        unet_in_channels=channels,
        text_encoders=[encoder],
        added_conditioning=added,
        requires_aesthetics_score=refiner,
    )


REFINERS = {
    "fine": info("sdxl_refiner"),
    "shallow": info("sdxl_refiner", layers=3),
    "sd2": info("sd2"),
    "inpainting": info(channels=9),
}


def refined(name="fine", switch_at=0.8):
    return Refiner(name, switch_at)


@pytest.mark.parametrize(
    ("bundle", "changes", "field", "says"),
    [
        (info(), {"clip_skip": 12}, "clip_skip", "at most 11 layers"),
        (info(), {"clip_skip": 3, "refiner": refined("shallow")}, "clip_skip", "at most 2 layers"),
        (info(), {"mask_image": MASK}, "mask_image", "without init_image"),
        (info("sd1", 9), {}, "mask_image", "is an inpainting model and needs init_image and mask_image"),
        (info("sd1", 9), {"init_image": IMAGE}, "mask_image", "is an inpainting model"),
        (info("sdxl_refiner"), {}, "model", "is an SDXL refiner, which continues pictures"),
        (info(), {"init_image": IMAGE, "strength": 0.04}, "strength", "leaves none to run; it must be at least 0.05"),
        (info(), {"steps": 3, "init_image": IMAGE, "strength": 0.33}, "strength", "it must be at least 0.334,"),
        (info(), {"steps": 2000}, "steps", "1000"),
        (info(), {"steps": 51, "sampler": "lcm"}, "steps", "lcm takes 1..50"),
        (info(), {"eta": 0.5}, "eta", "only ddim and tcd take it, and the sampler is euler"),
        (info(), {"timesteps": (999, 500)}, "steps", "steps is 20, and 2 timesteps are given"),
        (info(), {"timesteps": (1000, 500), "steps": 2}, "timesteps", "must lie in 0..999"),
        (info(), {"timesteps": (999, 5), "steps": 2, "sampler": "unipc"}, "timesteps", "unipc does not take any"),
        (info("sd1"), {"refiner": refined()}, "refiner", "is of family sd1"),
        (info(), {"refiner": refined("sd2")}, "refiner", "a refiner must be SDXL's"),
        (info(), {"refiner": refined("inpainting")}, "refiner", "9 channels"),
        (
            info(),
            {"refiner": refined(), "init_image": IMAGE, "mask_image": MASK},
            "refiner",
            "cannot be used together",
        ),
        (info(), {"refiner": refined(switch_at=0.0001)}, "refiner", "leaves the base none of the 20 steps"),
        (
            info(),
            {"refiner": refined(), "init_image": IMAGE, "strength": 0.1},
            "refiner",
            "leaves the base none of the 2 steps",
        ),
        (
            info(),
            {"refiner": refined(switch_at=0.2), "timesteps": (700, 500), "steps": 2},
            "refiner",
            "leaves the base none of the 2 steps",
        ),
        (info(), {"refiner": refined(switch_at=0.9999)}, "refiner", "leaves the refiner none of 20 steps"),
    ],
)
def test_a_refusal_names_the_field_and_the_reason(bundle, changes, field, says):
    refused = Limits(bundle, REFINERS).refusal(replace(PLAIN, **changes))
    assert refused is not None
    assert refused[0] == field
    assert says in refused[1]


@pytest.mark.parametrize(
    ("bundle", "changes"),
    [
        (info(), {"clip_skip": 11}),
        (info(), {"eta": 0.5, "sampler": "ddim_trailing"}),
        (info(), {"refiner": refined()}),
        (info(), {"refiner": refined(), "init_image": IMAGE, "strength": 0.5}),
        (info(), {"init_image": IMAGE, "mask_image": MASK}),
        (info("sd1", 9), {"init_image": IMAGE, "mask_image": MASK}),
        (info("sdxl_refiner"), {"init_image": IMAGE, "strength": 0.05}),
    ],
)
def test_what_can_be_had_is_not_refused(bundle, changes):
    assert Limits(bundle, REFINERS).refusal(replace(PLAIN, **changes)) is None


TOLD = Component(
    name="unet",
    role="denoiser",
    precision="fp32",
    inputs=[TensorSpec(name="timestep_cond", shape=["batch", 256])],
    outputs=[],
)
LCM = info().model_copy(update={"components": [TOLD]})
FITTING = replace(PLAIN, sampler="lcm", steps=4)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, []),
        ({"sampler": "tcd", "negative_prompt": "", "guidance_scale": 1.0}, []),
        ({"sampler": "dpmpp_2m_karras"}, ["sampler"]),
        ({"negative_prompt": "blurry"}, ["negative_prompt"]),
        ({"guidance_stop": 0.5, "guidance_rescale": 0.7}, ["guidance_stop", "guidance_rescale"]),
        ({"negative_prompt": "blurry", "refiner": refined()}, []),
    ],
)
def test_what_a_distilled_bundle_has_no_use_for_is_said(changes, fields):
    asked = replace(FITTING, **changes)
    found = Limits(LCM, REFINERS).notes(asked)
    assert [name for name, _ in found] == fields
    assert all("bundle sdxl" in why and "\n" not in why for _, why in found)
    assert Limits(info(), REFINERS).notes(asked) == []
