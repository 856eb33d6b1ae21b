"""LCM's full checkpoints, whose UNet is told the guidance scale, against diffusers' own pipelines for them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import (
    LatentConsistencyModelImg2ImgPipeline,
    LatentConsistencyModelPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.utils import load_image
from PIL import Image

from compare import psnr
from families import graph_of, picture_file, pixels
from latentpress.bundle.distilled import guidance_embedding
from latentpress.export.graphs.build import component_inputs
from latentpress.models import facts_of
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import LossSpec, RenderRequest
from latentpress.testing.random_checkpoint import build_checkpoint

PROMPT = "a red mouse in the night"
BOUND = 80
SIZE = {"height": 64, "width": 64}
OPTIONS = {"num_inference_steps": 4, "seed": 5}


@pytest.fixture(scope="module")
def lcm(exported):
    return Renderer(exported("lcm").bundle)


def request(scale=8.5, **changes):
    return RenderRequest(
        PROMPT, **{"seed": 5, **SIZE, "sampler": "lcm", "steps": 4, "guidance_scale": scale, **changes}
    )


def rendered(renderer, asked, rows=None):
    (found,) = renderer.render([("only", asked)], on_turn=None if rows is None else rows.append)
    assert found.error is None
    return found.image


def agree(found, expected, others):
    assert expected.std() > 5, "a flat picture proves nothing"
    assert psnr(found, expected) >= BOUND
    for other in others:
        assert psnr(other, expected) < 45, "the scale must show"


@pytest.mark.parametrize("scale", [8.5, 1.0, 0.3, 30.0])
@pytest.mark.parametrize("size", [256, 32, 33])
def test_the_scale_is_embedded_as_by_diffusers(scale, size):
    made = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, torch.tensor([scale - 1]), size)[0].numpy()
    found = guidance_embedding(scale, size)
    assert (found.dtype, found.shape) == (np.float32, (size,))
    # torch's exp may be one unit in the last place off: of an angle of 1000 w, times 6e-8.
    np.testing.assert_allclose(found, made, atol=1e-6 + 2.0**-23 * 1000 * abs(scale - 1))


def test_the_bundle_says_what_its_unet_is_told(exported, bundle):
    info = exported("lcm").bundle.info
    assert (info.format_version, info.family, info.guidance_embedding) == (3, "sd1", 32)
    assert [spec.name for spec in info.denoiser.inputs][-1] == "timestep_cond"
    assert bundle.info.guidance_embedding is None
    assert "guidance" not in bundle.file("bundle.json").read_text(), "other bundles are as they were"


@pytest.mark.parametrize("scale", [8.5, 1.0])
def test_text_to_image(scale, exported, lcm):
    pipeline = exported("lcm").pipeline(LatentConsistencyModelPipeline, "lcm")
    expected = pixels(pipeline, PROMPT, guidance_scale=scale, **SIZE, **OPTIONS)
    rows = []
    found = rendered(lcm, request(scale), rows)
    assert rows == [1] * 4, "no unconditional row"
    agree(found, expected, [rendered(lcm, request(scale + 3))])


@pytest.mark.parametrize("scale", [8.5, 1.0])
def test_image_to_image(scale, exported, lcm, tmp_path):
    given = picture_file(tmp_path)
    image = load_image(str(given.path)).resize((64, 64), Image.Resampling.LANCZOS)
    # Stable Diffusion's pipeline runs 4 of 8 steps; LCM's own runs the steps it is given, 4, within the strength.
    found = rendered(lcm, request(scale, steps=8, init_image=given, strength=0.5))
    other = [rendered(lcm, request(scale + 3, steps=8, init_image=given, strength=0.5))]
    for kind, steps in ((StableDiffusionImg2ImgPipeline, 8), (LatentConsistencyModelImg2ImgPipeline, 4)):
        pipeline = exported("lcm").pipeline(kind, "lcm")
        options = {"num_inference_steps": steps, "strength": 0.5, "guidance_scale": scale, "seed": 5}
        agree(found, pixels(pipeline, PROMPT, image=image, **options), other)


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_the_module_is_diffusers_unet(family, tmp_path):
    parts, graph = graph_of(build_checkpoint(tmp_path, family=family, width=16, hidden=32, guidance=32), "unet")
    given = component_inputs(parts, "unet", batch=3, size=(4, 6))
    told = np.stack([guidance_embedding(scale, 32) for scale in (8.5, 1.0, 3.0)])
    np.testing.assert_array_equal(given["timestep_cond"], told)
    tensors = {name: torch.from_numpy(array) for name, array in given.items()}
    added = {name: tensors[name] for name in ("text_embeds", "time_ids") if name in tensors}
    options = {"timestep_cond": tensors["timestep_cond"], "added_cond_kwargs": added or None}
    three = [tensors[name] for name in ("sample", "timestep", "encoder_hidden_states")]
    with torch.no_grad():
        found = graph.module(*tensors.values())
        expected = UNet2DConditionModel.from_pretrained(tmp_path / "unet")(*three, **options).sample
        other = graph.module(*[*tensors.values()][:-1], 0 * tensors["timestep_cond"])
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5)
    assert (other - found).abs().max() > 0.01, "the scale must show"


@pytest.mark.full
def test_sdxl(exported):
    pipeline = exported("lcm-sdxl").pipeline(StableDiffusionXLPipeline, "lcm")
    expected = pixels(pipeline, PROMPT, guidance_scale=8.5, **SIZE, **OPTIONS)
    renderer = Renderer(exported("lcm-sdxl").bundle)
    agree(rendered(renderer, request()), expected, [rendered(renderer, request(5.0))])


MIXED = [
    request(scale, seed=seed, sampler=sampler, steps=steps)
    for seed, (scale, sampler, steps) in enumerate(
        [(8.5, "lcm", 4), (1.0, "lcm", 6), (3.0, "tcd", 4), (0.5, "lcm", 5), (12.0, "euler_a", 7), (8.5, "lcm", 4)]
    )
]


def test_scales_share_a_batch_and_keep_their_bytes(lcm):
    rows = []
    found = {one.key: one.image for one in lcm.render(list(enumerate(MIXED)), on_turn=rows.append)}
    assert max(rows) == len(MIXED), "all in one call"
    for key, asked in enumerate(MIXED):
        assert np.array_equal(found[key], rendered(lcm, asked)), asked


def test_what_is_of_an_unconditional_row_changes_nothing(lcm):
    plain = rendered(lcm, request(long_prompts="chunks"))
    negative = {"negative_prompt": "blurry " * 90, "guidance_stop": 0.3, "guidance_rescale": 0.7}
    assert np.array_equal(rendered(lcm, request(long_prompts="chunks", **negative)), plain)


def test_a_plan_is_told_what_it_has_no_use_for(exported, bundle):
    facts = facts_of({"lcm": exported("lcm").bundle, "plain": bundle})
    asked = request(sampler="euler", negative_prompt="blue")
    assert [name for name, _ in facts["lcm"].notes(asked)] == ["sampler", "negative_prompt"]
    assert facts["plain"].notes(asked) == []


def test_a_loss_acts(lcm):
    loss = LossSpec("saturation", 300.0, every=1)
    (plain,), (pushed,) = (list(lcm.render([(0, request(losses=losses))])) for losses in ((), (loss,)))
    measured = [np.abs(each.image.astype(float) - each.image.mean(2, keepdims=True)).mean() for each in (plain, pushed)]
    assert not np.array_equal(plain.image, pushed.image)
    assert measured[0] != pytest.approx(measured[1], rel=0.02)


def test_a_prompt_that_changes_between_steps_keeps_its_scale(lcm):
    """[x:x:0.5] is one text, so it is the picture without an edit."""
    edited = replace(request(), prompt=f"[{PROMPT}:{PROMPT}:0.5]", prompt_weighting="a1111")
    assert np.array_equal(rendered(lcm, edited), rendered(lcm, request(prompt_weighting="a1111")))
