"""Pictures begun from a picture, with and without a mask, against diffusers' image-to-image and inpainting pipelines."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
)
from diffusers.utils import load_image
from PIL import Image

from compare import diffusers_scheduler, psnr
from families import graph_of, mask_file, picture_file, pixels
from latentpress.bundle.info import file_sha256
from latentpress.export.graphs.build import component_inputs
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import ImageFile, RenderRequest
from latentpress.testing.random_checkpoint import build_checkpoint

PROMPT, NEGATIVE = "a red mouse in the night", "blurry blue"
# dB; 40 is what is promised. Measured 80 and more, while a wrong mode of these small models can come to 46.
BOUND = 60
STEPS, SCALE = 10, 6.0
COMMON = {"negative_prompt": NEGATIVE, "num_inference_steps": STEPS, "guidance_scale": SCALE, "seed": 5}
SAMPLERS = ["ddim", "euler", "euler_a", "lms", "dpmpp_2m", "dpmpp_2m_karras", "pndm", "heun", "unipc", "dpmpp_2m_sde"]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A picture of 72x80 pixels, which must be resized, and a mask for it."""
    folder = tmp_path_factory.mktemp("given")
    return picture_file(folder), mask_file(folder)


def request(sampler, **changes):
    """With a mask as diffusers has it: each latent takes its upper left pixel."""
    if "mask_image" in changes:
        changes = {"picture_reading": "diffusers", **changes}
    return RenderRequest(
        PROMPT,
        **{"negative_prompt": NEGATIVE, "seed": 5, "height": 64, "width": 64, **changes},
        sampler=sampler,
        steps=STEPS,
        guidance_scale=SCALE,
    )


def agree(renderer, asked, expected):
    (found,) = renderer.render([("only", asked)])
    assert found.error is None
    assert expected.std() > 5, "a flat picture proves nothing"
    assert psnr(found.image, expected) >= BOUND


@pytest.fixture(scope="module")
def sd1(assets, reference_pipeline):
    """sd1(kind, sampler): another pipeline on the parts of the reference one."""
    config = json.loads((assets / "checkpoint/scheduler/scheduler_config.json").read_text())

    def make(kind, sampler):
        parts = dict(reference_pipeline.components)
        parts["scheduler"] = diffusers_scheduler(sampler, {k: v for k, v in config.items() if k[0] != "_"})
        pipeline = kind(**parts, requires_safety_checker=False)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    return make


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("strength", [1.0, 0.65])
def test_image_to_image(sampler, strength, sd1, renderer, given):
    image = load_image(str(given[0].path)).resize((64, 64), Image.Resampling.LANCZOS)
    expected = pixels(sd1(StableDiffusionImg2ImgPipeline, sampler), PROMPT, image=image, strength=strength, **COMMON)
    agree(renderer, request(sampler, init_image=given[0], strength=strength), expected)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("strength", [1.0, 0.65])
def test_a_mask_on_a_plain_model_keeps_the_rest(sampler, strength, sd1, renderer, given):
    pipeline = sd1(StableDiffusionInpaintPipeline, sampler)
    image, mask = (load_image(str(file.path)) for file in given)
    options = {"image": image, "mask_image": mask, "height": 64, "width": 64, "strength": strength}
    expected = pixels(pipeline, PROMPT, **options, **COMMON)
    agree(renderer, request(sampler, init_image=given[0], mask_image=given[1], strength=strength), expected)


@pytest.mark.parametrize("sampler", ["ddim", "euler_a", "lms"])
@pytest.mark.parametrize("strength", [1.0, 0.65])
def test_an_inpainting_model_sees_mask_and_masked_picture(sampler, strength, exported, given):
    pipeline = exported("inpainting").pipeline(StableDiffusionInpaintPipeline, sampler)
    assert exported("inpainting").bundle.info.unet_in_channels == 9
    image, mask = (load_image(str(file.path)) for file in given)
    options = {"image": image, "mask_image": mask, "height": 64, "width": 64, "strength": strength}
    expected = pixels(pipeline, PROMPT, **options, **COMMON)
    asked = request(sampler, init_image=given[0], mask_image=given[1], strength=strength)
    agree(Renderer(exported("inpainting").bundle), asked, expected)


@pytest.fixture
def diffusers_by_any_pixel(monkeypatch):
    """diffusers' own code, but a latent is masked where any of its pixels is: its nearest neighbour becomes max pooling."""
    nearest = torch.nn.functional.interpolate

    def largest(tensor, size=None, **options):
        if size is None or tensor.shape[1] != 1:
            return nearest(tensor, size=size, **options)
        return torch.nn.functional.max_pool2d(tensor, tensor.shape[-1] // size[-1])

    monkeypatch.setattr(torch.nn.functional, "interpolate", largest)


@pytest.mark.parametrize("kind", ["sd1", "inpainting"])
def test_a_thin_mask_is_that_of_diffusers_with_max_pooling(
    kind, sd1, exported, renderer, tmp_path, diffusers_by_any_pixel
):
    """A bar of 7 pixels and a dot, none of which lies on a latent's upper left pixel; strength 1 and less."""
    thin = np.zeros((64, 64), np.uint8)
    thin[:, 25:32] = thin[9:16, 41:48] = 255
    Image.fromarray(thin).save(tmp_path / "thin.png")
    mask = ImageFile(file_sha256(tmp_path / "thin.png"), tmp_path / "thin.png")
    picture = picture_file(tmp_path, size=(64, 64))
    if kind == "sd1":
        pipeline, rendered_by = sd1(StableDiffusionInpaintPipeline, "euler_a"), renderer
    else:
        pipeline = exported(kind).pipeline(StableDiffusionInpaintPipeline, "euler_a")
        rendered_by = Renderer(exported(kind).bundle)
    options = {"image": load_image(str(picture.path)), "mask_image": load_image(str(mask.path))}
    for strength in (1.0, 0.65):
        expected = pixels(pipeline, PROMPT, **options, height=64, width=64, strength=strength, **COMMON)
        asked = request("euler_a", init_image=picture, mask_image=mask, strength=strength, picture_reading="shown")
        agree(rendered_by, asked, expected)
        (other,) = rendered_by.render([("old", replace(asked, picture_reading="diffusers"))])
        assert psnr(other.image, expected) < BOUND, "the mask must matter"


@pytest.mark.parametrize("sampler", ["euler", "euler_a"])
def test_sdxl_image_to_image(sampler, exported, given):
    pipeline = exported("sdxl").pipeline(StableDiffusionXLImg2ImgPipeline, sampler)
    image = load_image(str(given[0].path)).resize((64, 64), Image.Resampling.LANCZOS)
    expected = pixels(pipeline, PROMPT, image=image, strength=0.65, **COMMON)
    agree(Renderer(exported("sdxl").bundle), request(sampler, init_image=given[0], strength=0.65), expected)


@pytest.mark.parametrize("strength", [1.0, 0.65])
def test_sdxl_inpainting(strength, exported, given):
    pipeline = exported("sdxl").pipeline(StableDiffusionXLInpaintPipeline, "euler_a")
    image, mask = (load_image(str(file.path)) for file in given)
    options = {"image": image, "mask_image": mask, "height": 64, "width": 64, "strength": strength}
    expected = pixels(pipeline, PROMPT, **options, **COMMON)
    asked = request("euler_a", init_image=given[0], mask_image=given[1], strength=strength)
    agree(Renderer(exported("sdxl").bundle), asked, expected)


def test_an_sdxl_inpainting_checkpoint_is_read_with_nine_channels(tmp_path):
    checkpoint = build_checkpoint(tmp_path, family="sdxl", inpainting=True, width=16, hidden=32)
    parts, graph = graph_of(checkpoint, "unet")
    given = component_inputs(parts, "unet", batch=2, size=(4, 6))
    assert (parts.family.name, given["sample"].shape) == ("sdxl", (2, 9, 4, 6))
    with torch.no_grad():
        assert graph.module(*map(torch.from_numpy, given.values())).shape == (2, 4, 4, 6)


@pytest.mark.full  # the trace takes 50 s; those of Stable Diffusion 1's inpainting model and of SDXL are in every run
@pytest.mark.parametrize("strength", [1.0, 0.65])
def test_an_sdxl_inpainting_model_sees_mask_and_masked_picture(strength, exported, given):
    pipeline = exported("sdxl-inpainting").pipeline(StableDiffusionXLInpaintPipeline, "euler_a")
    info = exported("sdxl-inpainting").bundle.info
    assert (info.family, info.unet_in_channels) == ("sdxl", 9)
    image, mask = (load_image(str(file.path)) for file in given)
    options = {"image": image, "mask_image": mask, "height": 64, "width": 64, "strength": strength}
    expected = pixels(pipeline, PROMPT, **options, **COMMON)
    asked = request("euler_a", init_image=given[0], mask_image=given[1], strength=strength)
    agree(Renderer(exported("sdxl-inpainting").bundle), asked, expected)


def test_a_refiner_alone_continues_a_picture(exported, given):
    pipeline = exported("refiner").pipeline(StableDiffusionXLImg2ImgPipeline, "euler")
    image = load_image(str(given[0].path)).resize((64, 64), Image.Resampling.LANCZOS)
    expected = pixels(pipeline, PROMPT, image=image, strength=0.3, **COMMON)
    agree(Renderer(exported("refiner").bundle), request("euler", init_image=given[0], strength=0.3), expected)


def test_a_picture_that_changed_fails_alone(renderer, tmp_path):
    kept, changed = picture_file(tmp_path, "kept.png"), picture_file(tmp_path, "now-changed.png")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(changed.path)
    work = [(file.path.name, request("ddim", init_image=file, strength=0.5)) for file in (changed, kept, changed)]
    found = {rendered.key: rendered for rendered in renderer.render(work[:2])}
    assert "now-changed.png: the picture changed since the manifest was planned" in found["now-changed.png"].error
    assert found["kept.png"].image is not None
    changed.path.unlink()
    (lost,) = renderer.render(work[2:])
    assert "now-changed.png: cannot be read any more" in lost.error


def test_one_file_is_encoded_once(bundle, given):
    from latentpress.engines.cpu import OnnxCpuSession

    class Counting(OnnxCpuSession):
        calls = 0

        def run(self, inputs):
            Counting.calls += 1
            return super().run(inputs)

    renderer = Renderer(bundle, sessions={"vae_encoder": Counting(bundle.file("vae_encoder.onnx"))})
    work = [(seed, request("ddim", init_image=given[0], strength=0.3, seed=seed)) for seed in range(4)]
    assert len(list(renderer.render(work))) == 4
    assert Counting.calls == 1
