"""A pipeline saved after textual inversion: its tokens are the bundle's concepts, and its pictures diffusers'."""

import hashlib
import shutil

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.numpy import load_file

from compare import diffusers_scheduler, psnr
from concept_files import saved
from families import pixels
from latentpress.bundle.info import open_bundle
from latentpress.cli import run_cli
from latentpress.errors import ConceptError
from latentpress.export.concepts import VECTORS, add_concepts
from latentpress.runtime.prompts.tokens import PromptTokenizer
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest
from traces import shared_traces

SIZE, STEPS, SCALE = 64, 6, 6.0
# token -> vectors; the last was added as a special token, as diffusers' pivotal tuning adds its own.
TAUGHT = {"<birb-style>": 1, "birbstyle": 3, "<s0>": 1}


def vectors(token: str) -> torch.Tensor:
    return torch.randn(TAUGHT[token], 64, generator=torch.Generator().manual_seed(len(token))) * 0.2


@pytest.fixture(scope="module")
def folder(assets, tmp_path_factory):
    """pipeline/, saved by diffusers after it loaded the concepts, and bundle/, exported from it."""
    folder = tmp_path_factory.mktemp("taught")
    pipeline = StableDiffusionPipeline.from_pretrained(
        assets / "checkpoint", safety_checker=None, requires_safety_checker=False
    )
    for token in ("<birb-style>", "birbstyle"):
        pipeline.load_textual_inversion({token: vectors(token)})
    pipeline.tokenizer.add_special_tokens({"additional_special_tokens": ["<s0>"]})
    table = pipeline.text_encoder.resize_token_embeddings(len(pipeline.tokenizer)).weight
    with torch.no_grad():
        table[-1] = vectors("<s0>")[0]
    pipeline.save_pretrained(folder / "pipeline")
    with shared_traces():
        assert run_cli(["export", str(folder / "pipeline"), "-o", str(folder / "bundle")]) == 0
    return folder


@pytest.mark.parametrize("prompt", ["a mouse, birbstyle", "a <birb-style> mouse in <s0> birbstyle"])
def test_its_pictures_are_diffusers(prompt, folder):
    pipeline = StableDiffusionPipeline.from_pretrained(folder / "pipeline", safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = diffusers_scheduler("euler", dict(pipeline.scheduler.config))
    options = {"height": SIZE, "width": SIZE, "num_inference_steps": STEPS, "guidance_scale": SCALE}
    expected = pixels(pipeline, prompt, seed=5, **options)
    asked = RenderRequest(prompt, 5, SIZE, SIZE, "euler", STEPS, SCALE)
    renderer = Renderer(open_bundle(folder / "bundle"))
    (found,) = renderer.render([("only", asked)])
    assert expected.std() > 5, "a flat picture proves nothing"
    assert psnr(found.image, expected) >= 80
    one = RenderRequest(prompt.replace("birbstyle", "birbstyle_2"), 5, SIZE, SIZE, "euler", STEPS, SCALE)
    (other,) = renderer.render([("one", one)])
    assert psnr(other.image, expected) < 40, "one vector of three must show"


def test_its_tokens_are_concepts_of_the_bundle(folder):
    bundle = open_bundle(folder / "bundle")
    held = load_file(bundle.path / VECTORS)
    assert {concept.token: len(concept.token_ids) for concept in bundle.info.concepts} == TAUGHT
    for concept in bundle.info.concepts:
        expected = vectors(concept.token).numpy()
        np.testing.assert_array_equal(held[f"text_encoder.{concept.token}"], expected)
        assert concept.sha256 == hashlib.sha256(expected.tobytes()).hexdigest()
        assert concept.source == "the checkpoint"
    tokenizer = PromptTokenizer(bundle)
    assert tokenizer.check("<birb-style> birbstyle <s0>").unknown == ()
    assert len(tokenizer.tokens("birbstyle")) == 3


def test_more_can_be_added_but_not_the_same(folder, tmp_path):
    copy = shutil.copytree(folder / "bundle", tmp_path / "bundle")
    same = saved(tmp_path / "same.bin", {"birbstyle": torch.ones(64)})
    with pytest.raises(ConceptError, match="birbstyle is already baked in, from the checkpoint; leave the file out"):
        add_concepts(copy, [same])
    info = add_concepts(copy, {"birbstyle-2": same})  # as the message says
    assert [concept.token for concept in info.concepts] == [*TAUGHT, "birbstyle-2"]
