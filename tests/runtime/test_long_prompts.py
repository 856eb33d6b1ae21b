"""Prompts in chunks: divided, encoded and joined as compel, diffusers' prompt_embeds and A1111 have them."""

import hashlib
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from compare import diffusers_scheduler, psnr
from families import pixels
from latentpress.bundle.info import Bundle
from latentpress.engines.choice import check_prompt_length, parse_engine
from latentpress.engines.cpu import OnnxCpuSession
from latentpress.errors import UsageError
from latentpress.runtime.prompts import Reading
from latentpress.runtime.prompts.tokens import PromptTokenizer, TextEncoder
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest

with warnings.catch_warnings():  # compel calls pyparsing by names of old
    warnings.simplefilter("ignore")
    from compel import Compel
    from compel.embeddings_provider import SplitLongTextMode

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")

CHUNKS = Reading(long_prompts="chunks")
LONG = "a red house in the night " * 20  # 120 tokens: two chunks
LONGER = "a blue house " * 60  # 180: three
OPTIONS = {"height": 64, "width": 64, "num_inference_steps": 8, "guidance_scale": 6.0, "seed": 5}


@pytest.fixture(scope="module")
def tokenizer(bundle):
    return PromptTokenizer(bundle)


@pytest.fixture(scope="module")
def encode(bundle, tokenizer):
    return TextEncoder(tokenizer, OnnxCpuSession(bundle.file("text_encoder.onnx")))


def request(prompt, negative="", **changes):
    given = {"long_prompts": "chunks", "seed": 5, "guidance_scale": 6.0, **changes}
    return RenderRequest(prompt, height=64, width=64, steps=8, sampler="euler", negative_prompt=negative, **given)


def rendered(renderer, asked):
    (found,) = renderer.render([("only", asked)])
    assert found.error is None
    return found.image


def agree(found, expected, cut):
    assert expected.std() > 5, "a flat picture proves nothing"
    assert psnr(found, expected) >= 40
    assert psnr(cut, expected) < 40, "what is cut must show"


def chunk_ids(tokenizer, text):
    """What transformers' own tokenizer gives, 75 at a time."""
    ids = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
    rows = [[tokenizer.bos_token_id, *ids[at : at + 75], tokenizer.eos_token_id] for at in range(0, len(ids) or 1, 75)]
    return torch.tensor([row + [tokenizer.pad_token_id] * (77 - len(row)) for row in rows])


def test_a_prompt_is_divided_into_full_chunks(tokenizer, reference_pipeline):
    for text in ("", "a red mouse", "house " * 75, "house " * 76, LONG, LONGER):
        expected = chunk_ids(reference_pipeline.tokenizer, text)
        found = np.stack([chunk.ids for chunk in tokenizer.chunks(text, CHUNKS)])
        assert found.tolist() == expected.tolist()
        checked = tokenizer.check(text, CHUNKS)
        assert (checked.chunks, checked.cut, checked.fault) == (len(expected), "", None)
    assert [len(tokenizer.chunks(LONG)), tokenizer.check(LONG).chunks] == [1, 1]


def test_a_concept_is_not_divided(tokenizer, bundle):
    two = bundle.concept_ids["<moeb-style>"]
    assert len(two) == 2
    first, second = tokenizer.chunks("house " * 74 + "<moeb-style> red", CHUNKS)
    assert first.ids[75] == tokenizer._tokenizer.eos_token_id
    assert second.ids[1:3].tolist() == two
    first, second = tokenizer.chunks("house " * 73 + "<moeb-style> red", CHUNKS)
    assert first.ids[74:76].tolist() == two


@pytest.fixture
def compel(reference_pipeline):
    return Compel(
        reference_pipeline.tokenizer,
        reference_pipeline.text_encoder,
        truncate_long_prompts=False,
        split_long_text_mode=SplitLongTextMode.BRUTAL,
    )


def test_states_are_compels_with_long_prompts(encode, compel):
    weighed = "a house " * 36 + "(red mouse and a tree)0.5 (in the night)1.5 " + "a house- "
    for prompt in (LONG, LONGER, weighed):
        expected = compel(prompt)[0].numpy()
        found = encode(prompt, 0, Reading("compel", "chunks")).hidden_states
        assert found.shape == expected.shape
        assert len(found) >= 2 * 77
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_the_shorter_prompt_is_followed_by_empty_chunks_as_compels(renderer, compel):
    condition = renderer._model.condition
    for prompt, negative in ((LONGER, "blue"), ("a red mouse", LONG), (LONG, LONG)):
        with torch.no_grad():
            expected = compel.pad_conditioning_tensors_to_same_length([compel(prompt), compel(negative)])
        asked = request(prompt, negative)
        assert condition.chunks(asked) == expected[0].shape[1] // 77
        for row, right in zip((condition.cond(asked), condition.uncond(asked)), expected, strict=True):
            assert np.abs(row.encoder_hidden_states - right[0].numpy()).max() <= 1e-5
    # Without guidance the negative prompt has no row to be matched.
    assert condition.chunks(request("a red mouse", LONG, guidance_scale=1.0)) == 1


def test_break_begins_a_chunk(encode, tokenizer):
    reading = Reading("a1111", "chunks")
    found = encode("a red mouse BREAK (a house:1.3)", 0, reading).hidden_states
    alone = [encode(text, 0, reading).hidden_states for text in ("a red mouse", "(a house:1.3)")]
    assert np.array_equal(found, np.concatenate(alone))
    assert tokenizer.check("a BREAK b", reading).chunks == 2
    assert len(tokenizer.chunks("house " * 80 + "BREAK red", reading)) == 3


def test_a_picture_is_diffusers_with_the_chunks_joined(assets, renderer, reference_pipeline):
    config = json.loads((assets / "checkpoint/scheduler/scheduler_config.json").read_text())
    pipeline = reference_pipeline
    pipeline.scheduler = diffusers_scheduler("euler", {k: v for k, v in config.items() if k[0] != "_"})

    def embeds(text, chunks):
        rows = [chunk_ids(pipeline.tokenizer, text)]
        rows += [chunk_ids(pipeline.tokenizer, "")] * (chunks - len(rows[0]))
        with torch.no_grad():
            return pipeline.text_encoder(torch.cat(rows)).last_hidden_state.reshape(1, 77 * chunks, -1)

    prompt = LONG + "blue house " * 10
    expected = pixels(
        pipeline, prompt_embeds=embeds(prompt, 2), negative_prompt_embeds=embeds("grey tree", 2), **OPTIONS
    )
    cut = rendered(renderer, request(prompt, "grey tree", long_prompts="truncate"))
    agree(rendered(renderer, request(prompt, "grey tree")), expected, cut)


def test_sdxl_takes_the_first_chunks_pooled_text(exported):
    xl = exported("sdxl")
    pipeline = xl.pipeline(StableDiffusionXLPipeline, "euler")
    ids = [chunk_ids(tokenizer, LONG) for tokenizer in (pipeline.tokenizer, pipeline.tokenizer_2)]
    with torch.no_grad():
        encoders = (pipeline.text_encoder, pipeline.text_encoder_2)
        outputs = [encoder(rows, output_hidden_states=True) for encoder, rows in zip(encoders, ids, strict=True)]
    states = torch.cat([output.hidden_states[-2].reshape(1, 2 * 77, -1) for output in outputs], dim=-1)
    pooled = outputs[1].text_embeds[:1]
    expected = pixels(
        pipeline,
        prompt_embeds=states,
        pooled_prompt_embeds=pooled,
        negative_prompt_embeds=torch.zeros_like(states),
        negative_pooled_prompt_embeds=torch.zeros_like(pooled),
        **OPTIONS,
    )
    renderer = Renderer(xl.bundle)
    assert xl.bundle.info.force_zeros_for_empty_prompt
    cut = rendered(renderer, request(LONG, None, long_prompts="truncate"))
    agree(rendered(renderer, request(LONG, None)), expected, cut)


class Watched:
    """A session that keeps what shapes it was given."""

    def __init__(self, session):
        self.session, self.engine, self.note, self.shapes = session, session.engine, session.note, []

    def run(self, inputs):
        self.shapes.append(inputs["encoder_hidden_states"].shape)
        return self.session.run(inputs)


def test_a_short_prompt_keeps_its_pixels_beside_long_ones(bundle):
    unet = Watched(OnnxCpuSession(bundle.file("unet.onnx")))
    renderer = Renderer(bundle, sessions={"unet": unet}, batch_rows=8)
    short = request("a red mouse", "grey", long_prompts="truncate")
    alone = rendered(renderer, short)
    unet.shapes.clear()
    asked = {
        "long": request(LONG, "grey"),
        "short": short,
        "longer": request(LONGER, "grey"),
        "in one chunk": replace(short, long_prompts="chunks"),
        "long again": request(LONG, "grey", seed=6),
    }
    together = {found.key: found.image for found in renderer.render(asked.items())}
    digests = {key: hashlib.sha256(image.tobytes()).hexdigest() for key, image in together.items()}
    assert digests["short"] == digests["in one chunk"] == hashlib.sha256(alone.tobytes()).hexdigest()
    assert np.array_equal(together["long"], rendered(renderer, asked["long"]))
    # Pictures of one length share their calls, whatever order they came in: 8 steps each.
    assert sorted((rows, tokens) for rows, tokens, _ in unet.shapes[:24]) == sorted(
        [(4, 154)] * 8 + [(4, 77)] * 8 + [(2, 231)] * 8
    )


def test_bundles_and_engines_of_one_length_are_refused_in_a_sentence(bundle):
    old = Bundle(bundle.path, bundle.info.model_copy(update={"any_prompt_length": False}), bundle.hash)
    tokenizer = PromptTokenizer(old)
    assert tokenizer.check("a red mouse", CHUNKS).fault is None
    assert "the prompt takes 2 chunks, and the UNet of bundle" in tokenizer.check(LONG, CHUNKS).fault
    for name in ("tensorrt", "tensorrt-rtx"):
        check_prompt_length(parse_engine(name), 1)
        with pytest.raises(UsageError, match="engines are built for the tokens of one"):
            check_prompt_length(parse_engine(name), 2)
    check_prompt_length(parse_engine("cuda"), 2)


@pytest.mark.parametrize("engine", ["openvino"])
def test_other_engines_take_long_prompts_too(engine, bundle, renderer):
    asked = request(LONG, "grey")
    found = rendered(Renderer(bundle, engine=parse_engine(engine)), asked)
    assert psnr(found, rendered(renderer, asked)) >= 40
