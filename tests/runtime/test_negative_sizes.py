"""What SDXL is told of sizes and crops with the negative prompt, against diffusers' three pipelines, which differ."""

from dataclasses import replace

import pytest
from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline
from diffusers.utils import load_image
from PIL import Image

from compare import psnr
from families import picture_file, pixels
from latentpress.batch.plan.job import request_data, request_from, stored
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import MicroConditioning, Refiner, RenderRequest
from latentpress.runtime.rules import Scene, rules_of

PROMPT, NEGATIVE, STEPS = "a red mouse in the night", "blurry blue", 5
COMMON = {"negative_prompt": NEGATIVE, "num_inference_steps": STEPS, "guidance_scale": 6.0, "seed": 5}
SIZES = {"negative_original_size": (900, 400), "negative_target_size": (300, 1700)}


def request(micro, **changes):
    given = {"negative_prompt": NEGATIVE, "seed": 5, "height": 64, "width": 64, **changes}
    return RenderRequest(PROMPT, sampler="euler", steps=STEPS, guidance_scale=6.0, micro=micro, **given)


def agree(bundle, asked, expected):
    (found,) = Renderer(bundle).render([("only", asked)])
    assert expected.std() > 5, "a flat picture proves nothing"
    assert psnr(found.image, expected) >= 70  # measured 80 and more; 22 to 27 with the prompt's crop


def diffusers_names(micro):
    return {name.replace("crop_", "crops_coords_"): value for name, value in micro.items()}


@pytest.mark.parametrize("negative", [SIZES, {**SIZES, "negative_crop_top_left": (40, 600)}])
def test_text_to_image(negative, exported):
    micro = {"crop_top_left": (0, 512), **negative}
    pipeline = exported("sdxl").pipeline(StableDiffusionXLPipeline, "euler")
    expected = pixels(pipeline, PROMPT, height=64, width=64, **diffusers_names(micro), **COMMON)
    agree(exported("sdxl").bundle, request(MicroConditioning(**micro)), expected)


@pytest.mark.parametrize(
    ("family", "micro"),
    [
        ("sdxl", {"crop_top_left": (0, 512), "negative_original_size": (900, 400)}),
        ("refiner", {"crop_top_left": (0, 512)}),
        ("refiner", {"crop_top_left": (256, 256), "original_size": (1024, 1024), "target_size": (1024, 1024)}),
        ("refiner", {"negative_crop_top_left": (0, 512), "negative_original_size": (900, 400)}),
    ],
)
def test_image_to_image(family, micro, exported, tmp_path):
    picture = picture_file(tmp_path)
    image = load_image(str(picture.path)).resize((64, 64), Image.Resampling.LANCZOS)
    pipeline = exported(family).pipeline(StableDiffusionXLImg2ImgPipeline, "euler")
    expected = pixels(pipeline, PROMPT, image=image, strength=0.8, **diffusers_names(micro), **COMMON)
    agree(exported(family).bundle, request(MicroConditioning(**micro), init_image=picture, strength=0.8), expected)


def test_the_rule_touches_the_refiners_crops(exported, tmp_path):
    base, refiner = exported("sdxl").bundle, exported("refiner").bundle
    alone, both = Scene(refiner.info, {}), Scene(base.info, {refiner.hash: refiner.info})
    cropped, picture = MicroConditioning(crop_top_left=(0, 512)), picture_file(tmp_path)

    def touched(asked, scene):
        return [rule.name for rule in rules_of(asked, scene)]

    continued = request(cropped, init_image=picture, strength=0.8)
    assert touched(continued, alone) == ["negative-crop"]
    refined = request(cropped, refiner=Refiner(refiner.hash, 0.5))
    assert touched(refined, both) == ["negative-crop"]
    assert not touched(replace(refined, guidance_stop=0.2), both), "guidance ends in the base"
    assert not touched(replace(refined, refiner=None), both)
    for other in (MicroConditioning(), replace(cropped, negative_crop_top_left=(0, 512))):
        assert not touched(replace(continued, micro=other), alone)


def test_a_job_without_negative_sizes_keeps_its_hash():
    asked = request(MicroConditioning(crop_top_left=(0, 512)))
    assert request_data(asked)["micro"].keys() == {
        *("original_size", "crop_top_left", "target_size", "aesthetic_score", "negative_aesthetic_score")
    }
    own = request(MicroConditioning(negative_crop_top_left=(0, 512)))
    assert request_data(own)["micro"]["negative_crop_top_left"] == [0, 512]
    for one in (asked, own):
        assert request_from(stored(one, request_data(one))) == one
