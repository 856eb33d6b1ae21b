"""A1111's prompt editing: its grammar by its published examples, its pictures by a loop of diffusers' own parts."""

import json
import random

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

from compare import diffusers_scheduler, psnr
from families import picture_file, pixels
from latentpress.runtime.prompt_rules import calls_of, schedule_of
from latentpress.runtime.prompts.editing import schedule, texts
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import Refiner, RenderRequest
from latentpress.runtime.rules import RULES


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        # The docstring of A1111's get_learned_conditioning_prompt_schedules, at 10 steps.
        ("test", [(10, "test")]),
        ("a [b:3]", [(3, "a "), (10, "a b")]),
        ("a [b: 3]", [(3, "a "), (10, "a b")]),
        ("a [[[b]]:2]", [(2, "a "), (10, "a [[b]]")]),
        ("[(a:2):3]", [(3, ""), (10, "(a:2)")]),
        ("a [b : c : 1] d", [(1, "a b  d"), (10, "a  c  d")]),
        ("a[b:[c:d:2]:1]e", [(1, "abe"), (2, "ace"), (10, "ade")]),
        ("a [unbalanced", [(10, "a [unbalanced")]),
        ("a [b:.5] c", [(5, "a  c"), (10, "a b c")]),
        ("((a][:b:c [d:3]", [(3, "((a][:b:c "), (10, "((a][:b:c d")]),
        ("[a|(b:1.1)]", [(call, "a" if call % 2 else "(b:1.1)") for call in range(1, 11)]),
        ("[fe|]male", [(call, "female" if call % 2 else "male") for call in range(1, 11)]),
        ("[fe|||]male", [(call, "female" if call % 4 == 1 else "male") for call in range(1, 11)]),
        # Brackets within, escapes, numbers of every form.
        ("[a cat in [dim] light:a dog:0.5]", [(5, "a cat in [dim] light"), (10, "a dog")]),
        ("[[red] hat|blue hat]", [(call, "[red] hat" if call % 2 else "blue hat") for call in range(1, 11)]),
        (r"[a \[x\] cat:dog:0.5]", [(5, r"a \[x\] cat"), (10, "dog")]),
        ("[cat:dog:-1]", [(10, "dog")]),
        ("[cat:dog:1e1]", [(10, "cat")]),
        ("[from::7] b", [(7, "from b"), (10, " b")]),
        ("[a:b:5.]", [(10, "a")]),
        ("[a|[b:c:4]]", [(call, "a" if call % 2 else "b" if call <= 4 else "c") for call in range(1, 11)]),
        # No edits: escaped brackets, a ratio, an upright outside.
        (r"\[a:b:3\] 16:9 (x:1.2)", [(10, r"\[a:b:3\] 16:9 (x:1.2)")]),
        ("[a:b:3] x|y", [(10, "[a:b:3] x|y")]),
        (r"[a|b\]", [(10, r"[a|b\]")]),
    ],
)
def test_schedules_are_a1111s(prompt, expected):
    assert list(schedule(prompt, 10)) == expected


def test_the_prompt_of_its_first_comment():
    prompt = (
        "fantasy landscape with a [mountain:lake:0.25] and [an oak:a christmas tree:0.75][ in foreground::0.6]"
        "[ in background:0.25] [shoddy:masterful:0.5]"
    )
    assert schedule(prompt, 100) == (
        (25, "fantasy landscape with a mountain and an oak in foreground shoddy"),
        (50, "fantasy landscape with a lake and an oak in foreground in background shoddy"),
        (60, "fantasy landscape with a lake and an oak in foreground in background masterful"),
        (75, "fantasy landscape with a lake and an oak in background masterful"),
        (100, "fantasy landscape with a lake and a christmas tree in background masterful"),
    )


def test_any_text_has_a_schedule_and_deep_brackets_do_not_matter():
    choose = random.Random(5)
    atoms = [*"[]():|\\ ", "a", "cat ", "0.5", ":3]", "[b:"]
    for _ in range(2000):
        prompt = "".join(choose.choice(atoms) for _ in range(choose.randint(1, 25)))
        found = schedule(prompt, 10)
        assert [end for end, _ in found] == sorted({end for end, _ in found})
        assert found[-1][0] == 10
    for deep in ("[" * 3000, "[" * 3000 + "a" + ":3]" * 3000, "(" * 3000 + "[a:b:3]" + ")" * 3000):
        assert texts(deep, 10)


BASE = {"height": 64, "width": 64, "seed": 5, "guidance_scale": 6.0, "prompt_weighting": "a1111"}


def request(prompt, negative="", **changes):
    return RenderRequest(
        **{"prompt": prompt, "sampler": "euler", "steps": 8, "negative_prompt": negative, **BASE, **changes}
    )


def test_only_a1111s_dialect_edits():
    prompt = "[a mouse:a house:3]"
    assert [text for _, text in schedule_of(request(prompt), prompt)] == ["a mouse", "a house"]
    for dialect in ("none", "compel"):
        assert [text for _, text in schedule_of(request(prompt, prompt_weighting=dialect), prompt)] == [prompt]
    assert [calls_of(name, 10) for name in ("euler", "heun", "kdpm2", "dpmpp_sde")] == [10, 20, 20, 20]


@pytest.mark.parametrize(
    ("prompt", "changes", "touched"),
    [
        ("[a cat in [dim] light:a dog:0.5]", {}, True),
        ("[cat:dog:-1]", {}, True),
        ("[a cat:a dog:0.5]", {}, False),  # was refused: no picture is of it
        ("[a cat in [dim] light:a dog:0.5]", {"prompt_weighting": "none"}, False),
        ("a (cat:1.2) in [dim] light", {}, False),
    ],
)
def test_the_rule_touches_prompts_that_were_letters(prompt, changes, touched):
    (rule,) = [rule for rule in RULES if rule.name == "prompt-editing"]
    for asked in (request(prompt, **changes), request("a", prompt, **changes)):
        assert rule.touches(asked, None) == touched
    assert not rule.touches(request("a", prompt, **{**changes, "guidance_scale": 1.0}), None)


def rendered(renderer, *asked):
    found = {picture.key: picture for picture in renderer.render(list(enumerate(asked)))}
    assert [picture.error for picture in found.values()] == [None] * len(asked)
    return [found[index].image for index in range(len(asked))]


def switching(pipeline, prompts, negatives, **options):
    """diffusers' picture where call k, from 0, has the prompt prompts[k] and the negative prompt negatives[k].

    Its callback comes after each step, and replaces what the next one attends to.
    """
    both = [
        torch.cat(pipeline.encode_prompt(one, "cpu", 1, True, other)[::-1])
        for one, other in zip(prompts, negatives, strict=True)
    ]

    def callback(pipe, step, timestep, kwargs):
        return {"prompt_embeds": both[min(step + 1, len(both) - 1)]}

    return pixels(
        pipeline, prompts[0], negative_prompt=negatives[0], callback_on_step_end=callback,
        callback_on_step_end_tensor_inputs=["prompt_embeds"], **options,
    )  # fmt: skip


OPTIONS = {"height": 64, "width": 64, "num_inference_steps": 8, "guidance_scale": 6.0, "seed": 5}


@pytest.fixture(scope="module")
def pipeline(reference_pipeline, assets):
    config = json.loads((assets / "checkpoint/scheduler/scheduler_config.json").read_text())
    made = StableDiffusionPipeline(**reference_pipeline.components)
    made.scheduler = diffusers_scheduler("euler", {k: v for k, v in config.items() if k[0] != "_"})
    made.set_progress_bar_config(disable=True)
    return made


def test_pictures_are_diffusers_with_the_embeddings_of_each_step(renderer, pipeline):
    """A1111 counts calls from 0 against ends from 1, so a text up to 3 is for calls 0 to 3."""
    cases = {
        ("[a red mouse:a blue house:3]", "blurry"): (["a red mouse"] * 4 + ["a blue house"] * 4, ["blurry"] * 8),
        ("a mouse", "[red|blue]"): (["a mouse"] * 8, ["red", *["red", "blue"] * 3, "red"]),
        ("[a house in [dim] light:a cat:.5] x", ""): None,
    }
    asked = [request(*case) for case in cases]
    mixed = rendered(renderer, request("a tree"), *asked, request("a tree", steps=5))
    for picture, one, texts_at in zip(mixed[1:], asked, cases.values(), strict=False):
        assert np.array_equal(rendered(renderer, one)[0], picture), "a picture depends on its job alone"
        if texts_at is not None:
            assert psnr(picture, switching(pipeline, *texts_at, **OPTIONS)) >= 60
            first = switching(pipeline, texts_at[0][:1] * 8, texts_at[1][:1] * 8, **OPTIONS)
            assert psnr(picture, first) < 40, "an edit that does not show proves nothing"


def test_texts_of_different_length_are_padded_with_empty_chunks(renderer):
    long = "a red house in the night " * 20
    condition = renderer._model.condition
    asked = request(f"[a mouse:{long}:3]", long_prompts="chunks")
    edited = condition.cond(asked)
    assert condition.chunks(asked) == 2
    assert [len(row.encoder_hidden_states) for row in edited.rows] == [154, 154]
    assert np.array_equal(
        edited.rows[1].encoder_hidden_states, condition.cond(request(long, long_prompts="chunks")).encoder_hidden_states
    )
    alone = condition.cond(request("a mouse", long_prompts="chunks")).encoder_hidden_states
    empty = condition.cond(request("", long_prompts="chunks")).encoder_hidden_states
    assert np.array_equal(edited.rows[0].encoder_hidden_states, np.concatenate([alone, empty]))
    rendered(renderer, asked, request("a mouse"))


def test_a_given_picture_and_two_call_samplers_count_their_calls(renderer, tmp_path):
    """From the first call that is made, as A1111's denoiser counts: its `step` begins at 0 for every picture."""
    seen = []
    unet, run = renderer._model.unet, renderer._model.unet.run

    def spy(inputs):
        seen.append(inputs["encoder_hidden_states"][0].copy())
        return run(inputs)

    mouse = renderer._model.condition.cond(request("a mouse")).encoder_hidden_states
    given = {"init_image": picture_file(tmp_path, size=(64, 64)), "strength": 0.5}
    for changes, calls in (({}, 8), (given, 4), ({"sampler": "heun"}, 15), ({"sampler": "heun", **given}, 7)):
        seen.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(unet, "run", spy)
            rendered(renderer, request("[a mouse:a house:2]", **changes))
        assert [np.array_equal(one, mouse) for one in seen] == [call <= 2 for call in range(calls)]


def test_sdxl_switches_its_pooled_text_and_a_refiner_goes_on_counting(exported):
    xl, refiner = exported("sdxl"), exported("refiner")
    pipeline = xl.pipeline(StableDiffusionXLPipeline, "euler")
    first, second = (pipeline.encode_prompt(one, None, "cpu", 1, True, "blurry") for one in ("a red mouse", "a house"))

    def callback(pipe, step, timestep, kwargs):
        embeds, negative, pooled, negative_pooled = second if step + 1 > 3 else first
        return {"prompt_embeds": torch.cat([negative, embeds]), "add_text_embeds": torch.cat([negative_pooled, pooled])}

    expected = pixels(
        pipeline, "a red mouse", negative_prompt="blurry", callback_on_step_end=callback,
        callback_on_step_end_tensor_inputs=["prompt_embeds", "add_text_embeds"], **OPTIONS,
    )  # fmt: skip
    renderer = Renderer(xl.bundle, refiners=[refiner.bundle])
    found, plain = rendered(renderer, request("[a red mouse:a house:3]", "blurry"), request("a red mouse", "blurry"))
    assert psnr(found, expected) >= 60
    assert psnr(plain, expected) < 40
    # Handed over after 4 of 8 calls: an edit at 5 is the refiner's second call, one at 3 the base's last.
    given = {"refiner": Refiner(refiner.bundle.hash, 0.5), "negative": "blurry"}
    late, whole, early = rendered(
        renderer,
        *(request(text, **given) for text in ("[a red mouse:a house:5]", "a red mouse", "[a red mouse:a house:8]")),
    )
    assert (late != whole).any()
    assert np.array_equal(early, whole), "the edit comes after the last call"
