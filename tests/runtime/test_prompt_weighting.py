"""Prompt weights: both dialects' grammars, what they make of the text encoders' states, and the pictures.

compel's dialect is held to the package compel itself; A1111's to the examples its parser publishes, and to its formula
written out on torch's own text encoder.
"""

import copy
import json
import warnings

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

from compare import diffusers_scheduler, psnr
from families import pixels
from latentpress.engines.cpu import OnnxCpuSession
from latentpress.engines.session import TorchSession
from latentpress.runtime.prompts import Reading, parse_prompt
from latentpress.runtime.prompts.tokens import PromptTokenizer, TextEncoder
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import Refiner, RenderRequest

with warnings.catch_warnings():  # compel calls pyparsing by names of old
    warnings.simplefilter("ignore")
    from compel import Compel, DiffusersTextualInversionManager, ReturnedEmbeddingsType
    from compel.prompt_parser import PromptParser

    COMPEL_PARSER = PromptParser()

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")

A1111, COMPEL = Reading("a1111"), Reading("compel")
OPTIONS = {"height": 64, "width": 64, "num_inference_steps": 8, "guidance_scale": 6.0, "seed": 5}


@pytest.fixture(scope="module")
def encode(bundle):
    """Our text encoder, on the bundle with its five concepts."""
    return TextEncoder(PromptTokenizer(bundle), OnnxCpuSession(bundle.file("text_encoder.onnx")))


@pytest.fixture(scope="module")
def compel(reference_pipeline):
    pipeline = reference_pipeline
    return Compel(pipeline.tokenizer, pipeline.text_encoder, DiffusersTextualInversionManager(pipeline))


WEIGHED = {
    "up": "a red++ mouse in the (night sky)1.6",
    "down": "a red-- mouse in the (night sky)0.3",
    "nothing left": "a red mouse (in the night)0",
    "all": "(a red mouse)0.7",
    "both": "a (red mouse)1.4 and (a house)0.5, (blue)0.8 sky+",
    "concept up": "a mouse in the style of <moeb-style>++",
    "concept down": "a (mouse in the style of <moeb-style>)0.4 red",
    "cut in a part": "a house " * 36 + "(red mouse and a tree)0.5 (blue)1.5",
    "cut in its one part": "(" + "a house " * 40 + ")0.4",
    "no weight": "a red mouse",
}


@pytest.mark.parametrize("prompt", WEIGHED.values(), ids=WEIGHED.keys())
def test_compel_states_are_compels(prompt, encode, compel):
    expected = compel(prompt)[0].numpy()
    found = encode(prompt, 0, COMPEL).hidden_states
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    if "++" in prompt or ")" in prompt:
        plain = encode(" ".join(part.text for part in parse_prompt(prompt, "compel")[0])).hidden_states
        assert np.abs(plain - expected).max() > 0.01, "a weight that does not show proves nothing"


def emphasised(states, weights):
    """EmphasisOriginal: z * multipliers, then times the old mean over the new one."""
    weighted = states * torch.tensor(weights)[:, None]
    return weighted * (states.mean() / weighted.mean())


@pytest.fixture(scope="module")
def shifted(assets, reference_pipeline):
    """diffusers' pipeline with a final layer norm that has a bias, and its text encoder as our session.

    Trained ones have; a random one's states have the mean 0, which A1111's formula divides by.
    """
    from latentpress.export.graphs.wrappers import TextEncoder as Wrapped

    model = copy.deepcopy(reference_pipeline.text_encoder)
    norm = model.text_model.final_layer_norm
    with torch.no_grad():
        norm.bias += torch.linspace(0, 0.5, len(norm.bias))
    config = json.loads((assets / "checkpoint/scheduler/scheduler_config.json").read_text())
    pipeline = StableDiffusionPipeline(**{**reference_pipeline.components, "text_encoder": model})
    pipeline.scheduler = diffusers_scheduler("euler", {k: v for k, v in config.items() if k[0] != "_"})
    pipeline.set_progress_bar_config(disable=True)
    wrapped = Wrapped(model, eos_token_id=pipeline.tokenizer.eos_token_id, layers=2, penultimate=False)
    return pipeline, TorchSession(lambda input_ids: {"hidden_states": wrapped(input_ids)})


def weighed_ids(tokenizer, *words):
    """Token ids and weights of (text, weight), 77 each."""
    ids, weights = [tokenizer.bos_token_id], [1.0]
    for text, weight in words:
        own = tokenizer(text, add_special_tokens=False).input_ids
        ids, weights = [*ids, *own], [*weights, *[weight] * len(own)]
    ids.append(tokenizer.eos_token_id)
    ids += [tokenizer.pad_token_id] * (77 - len(ids))
    return torch.tensor([ids]), [*weights, *[1.0] * (77 - len(weights))]


def test_a1111_states_are_its_formula_on_torch(shifted, bundle):
    # diffusers' tokenizer has a concept of two vectors as two words, and other ids for them than the bundle.
    theirs, session = shifted
    tokenizer, own = PromptTokenizer(bundle), dict(bundle.concept_ids)
    tokenizer._concepts = own | {
        "<moeb-style>": theirs.tokenizer.convert_tokens_to_ids(["<moeb-style>", "<moeb-style>_1"])
    }
    encode, prompt = TextEncoder(tokenizer, session), "a (red:1.5) [mouse] (<moeb-style>:0.7)"
    words = [("a", 1.0), ("red", 1.5), ("mouse", 1 / 1.1), ("<moeb-style> <moeb-style>_1", 0.7)]
    ids, weights = weighed_ids(theirs.tokenizer, *words)
    assert weights.count(0.7) == 2
    model = theirs.text_encoder
    with torch.no_grad():
        output = model(ids, output_hidden_states=True)
        skipped = model.text_model.final_layer_norm(output.hidden_states[-2])[0]
    for clip_skip, states in ((0, output.last_hidden_state[0]), (1, skipped)):
        expected = emphasised(states, weights).numpy()
        found = encode(prompt, clip_skip, A1111).hidden_states
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
        assert np.abs(states.numpy() - expected).max() > 0.01


def test_without_weights_every_dialect_gives_the_same_bits(encode):
    plain = encode("a red mouse <line-art>").hidden_states
    for reading in (A1111, COMPEL):
        assert np.array_equal(encode("a red mouse <line-art>", 0, reading).hidden_states, plain)


def request(dialect, prompt, negative, **changes):
    sizes = {"height": 64, "width": 64, "steps": OPTIONS["num_inference_steps"], "guidance_scale": 6.0}
    return RenderRequest(
        prompt, seed=5, sampler="euler", negative_prompt=negative, prompt_weighting=dialect, **sizes, **changes
    )


def rendered(renderer, asked):
    (found,) = renderer.render([("only", asked)])
    assert found.error is None
    return found.image


def agree(found, expected, plain):
    assert expected.std() > 5, "a flat picture proves nothing"
    assert psnr(found, expected) >= 40
    assert psnr(plain, expected) < 40, "weights that do not show prove nothing"


PROMPT, NEGATIVE = "a red++ mouse in (the night)0.4 (<moeb-style>)1.5", "(blurry)1.8 blue--"


def test_a_compel_picture_is_diffusers_with_compels_embeddings(assets, renderer, reference_pipeline, compel):
    config = json.loads((assets / "checkpoint/scheduler/scheduler_config.json").read_text())
    pipeline = reference_pipeline
    pipeline.scheduler = diffusers_scheduler("euler", {k: v for k, v in config.items() if k[0] != "_"})
    expected = pixels(pipeline, prompt_embeds=compel(PROMPT), negative_prompt_embeds=compel(NEGATIVE), **OPTIONS)
    plain = rendered(renderer, request("none", "a red mouse in the night <moeb-style>", "blurry blue"))
    agree(rendered(renderer, request("compel", PROMPT, NEGATIVE)), expected, plain)


def test_an_a1111_picture_is_diffusers_with_its_embeddings(shifted, bundle):
    pipeline, session = shifted

    def embeds(*words):
        ids, weights = weighed_ids(pipeline.tokenizer, *words)
        with torch.no_grad():
            return emphasised(pipeline.text_encoder(ids).last_hidden_state[0], weights)[None]

    expected = pixels(
        pipeline,
        prompt_embeds=embeds(("a", 1.0), ("red", 1.4), ("mouse", 1.1**2), ("night", 1 / 1.1)),
        negative_prompt_embeds=embeds(("blurry", 1.5), ("blue", 1.0)),
        **OPTIONS,
    )
    renderer = Renderer(bundle, sessions={"text_encoder": session})
    asked = request("a1111", "a (red:1.4) ((mouse)) [night]", "(blurry:1.5) blue")
    agree(rendered(renderer, asked), expected, rendered(renderer, request("none", "a red mouse night", "blurry blue")))


def test_sdxl_weighs_both_encoders_and_leaves_the_pooled_text(exported):
    xl = exported("sdxl")
    pipeline = xl.pipeline(StableDiffusionXLPipeline, "euler")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compel = Compel(
            tokenizer=[pipeline.tokenizer, pipeline.tokenizer_2],
            text_encoder=[pipeline.text_encoder, pipeline.text_encoder_2],
            returned_embeddings_type=ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED,
            requires_pooled=[False, True],
        )
        (prompt, pooled), (negative, negative_pooled) = compel("a red+++ mouse (house)0.2"), compel("blue-")
    expected = pixels(
        pipeline,
        prompt_embeds=prompt,
        pooled_prompt_embeds=pooled,
        negative_prompt_embeds=negative,
        negative_pooled_prompt_embeds=negative_pooled,
        **OPTIONS,
    )
    renderer = Renderer(xl.bundle, refiners=[exported("refiner").bundle])
    asked = request("compel", "a red+++ mouse (house)0.2", "blue-")
    assert psnr(rendered(renderer, asked), expected) >= 60
    pooled = renderer._model.condition.cond(request("a1111", "a (red:1.9) mouse", "")).text_embeds
    same = renderer._model.condition.cond(request("none", "a red mouse", "")).text_embeds
    assert np.array_equal(pooled, same)
    refined = [
        rendered(renderer, request(dialect, text, "", refiner=Refiner(exported("refiner").bundle.hash, 0.3)))
        for dialect, text in (("a1111", "a (red:1.9) mouse"), ("none", "a red mouse"))
    ]
    assert (refined[0] != refined[1]).any()
