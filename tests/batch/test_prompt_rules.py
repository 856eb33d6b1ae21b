"""The rules about prompts touch the jobs whose pixels they changed, and what is lost of a prompt is warned of."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from latentpress.batch.pictures.metadata import text_chunks
from latentpress.batch.plan.identity import hash_job
from latentpress.batch.plan.plan import build_plan
from latentpress.errors import ManifestError
from latentpress.runtime.prompt_rules import texts_drawn
from latentpress.runtime.prompts.parts import PromptCheck
from latentpress.runtime.request import ImageFile, Origin, RenderRequest
from latentpress.runtime.rules import RULES, Scene

PICTURE = ImageFile("a" * 64, Path("a.png"))


def rule_named(name):
    return next(rule for rule in RULES if rule.name == name)


def request(prompt, **changes):
    given = {"height": 64, "width": 64, "sampler": "euler", "steps": 2, "guidance_scale": 5.0, **changes}
    return RenderRequest(prompt, 0, **given)


@pytest.mark.parametrize(
    ("asked", "touched"),
    [
        (request("a mouse"), False),
        (request("a 👨‍👩‍👧 café 北京"), False),
        (request("a 🫨 mouse"), True),
        (request("a mouse", negative_prompt="🫨"), True),
        (request("a mouse", negative_prompt="🫨", guidance_scale=1.0), False),
        (request("a 🫨 mouse", text_cleaning="clip"), False),
        (request("a \uffff mouse"), False),
    ],
)
def test_the_rule_touches_the_prompts_whose_tokens_changed(asked, touched, facts):
    rule = rule_named("unassigned-characters")
    assert rule.touches(asked, None) == touched
    ruled = replace(facts, rules=lambda request: (rule,) * rule.touches(request, None))
    assert (hash_job(asked, ruled) != hash_job(asked, facts)) == touched


def test_what_basic_leaves_out_is_warned_of(planned):
    (warning,) = planned('defaults: {prompt: "a \\u200d\\u200d mouse"}\n').warnings
    assert warning.startswith("m.yaml:4:20: warning: the prompt holds U+200D, which `text_cleaning: basic` leaves out")
    assert planned('defaults: {prompt: "a \\u200d mouse", text_cleaning: clip}\n').warnings == ()
    assert planned('defaults: {prompt: "a\\n 🫨 café, mouse"}\n').warnings == ()


def test_the_rule_of_concept_case_touches_what_a1111_finds_otherwise():
    scene = Scene(None, {}, lambda prompt: "easy" in prompt)
    a1111 = {"prompt_weighting": "a1111"}
    for asked, touched in (
        (request("easy", **a1111), True),
        (request("a", negative_prompt="easy", **a1111), True),
        (request("a", negative_prompt="easy", guidance_scale=1.0, **a1111), False),
        (request("a", **a1111), False),
        (request("easy"), False),
    ):
        assert rule_named("concept-case").touches(asked, scene) == touched


def test_a_picture_names_the_concepts_of_its_tokens(planned, facts):
    """Not those whose names are in its text: a prefix of one, or one inside a word."""
    known = {"bad-hands": "1" * 64, "bad-hands-5": "2" * 64, "EasyNegative": "3" * 64}
    uses = {"a": (), "bad-hands-5": ("bad-hands-5",), "EasyNegativeV2": ()}
    own = replace(
        facts,
        concepts=known,
        vectors=known,
        check=lambda text, reading: PromptCheck(1, 75, "", (), concepts=uses[text]),
    )
    (job,) = planned("defaults: {prompt: a}\n").jobs
    for negative, scale, expected in (
        ("bad-hands-5", 5.0, ["bad-hands-5"]),
        ("EasyNegativeV2", 5.0, []),
        ("bad-hands-5", 1.0, []),
    ):
        asked = replace(job, request=replace(job.request, negative_prompt=negative, guidance_scale=scale))
        said = json.loads(
            text_chunks(asked, {"demo": own}, Origin("onnxruntime-cpu", 8, "untested"), "0" * 64)["latentpress"]
        )
        assert list(said["concepts"]) == expected


@pytest.mark.parametrize(
    ("dialect", "prompt", "said"),
    [
        (
            "none",
            "(a red heart:1.4), [blue]",
            "'(a red heart:1.4)' in the prompt is taken as characters; `prompt_weighting: a1111`",
        ),
        (
            "none",
            "a ((red)) heart",
            "'((red))' in the prompt is taken as characters; `prompt_weighting: a1111` reads it",
        ),
        ("none", "red++ heart", "'red++' in the prompt is taken as characters; `prompt_weighting: compel` reads it"),
        (
            "none",
            "a (red heart)1.3",
            "'(red heart)1.3' in the prompt is taken as characters; `prompt_weighting: compel`",
        ),
        (
            "none",
            "a BREAK b",
            "'BREAK' in the prompt is taken as characters; `prompt_weighting: a1111` with `long_prompts: chunks`",
        ),
        (
            "none",
            "a [cat:dog:0.5]",
            "'[cat:dog:0.5]' in the prompt is taken as characters; `prompt_weighting: a1111` changes",
        ),
        ("compel", "a (red heart:1.4)", "`prompt_weighting: a1111` reads it as a weight"),
        ("a1111", "a heart--, red", "'heart--' in the prompt is taken as characters; `prompt_weighting: compel`"),
        (
            "a1111",
            "a __color__ cat",
            "'__color__' in the prompt is taken as characters; a folder `wildcards` beside the manifest has their words",
        ),
        (
            "none",
            "a cat <lora:my style:0.8>",
            "'<lora:my style:0.8>' in the prompt is taken as characters; a LoRA is fused by",
        ),
    ],
)
def test_what_another_program_reads_is_warned_of(dialect, prompt, said, planned):
    (warning,) = planned(f"defaults: {{prompt_weighting: {dialect}, prompt: {prompt!r}}}\n").warnings
    assert said in warning
    assert warning.startswith("m.yaml:4:")


@pytest.mark.parametrize(
    "prompt",
    [
        "a (red) heart, 16:9 (16:9)",
        "C++ code - a well-lit -- room",
        "at 3:45 (3:45)",
        "BREAKFAST",
        "snake_case",
        "a [photo]",
    ],
)
def test_plain_words_are_not_warned_of(prompt, planned):
    assert planned(f"defaults: {{prompt: {prompt!r}}}\n").warnings == ()


def test_a_lora_tag_has_a_sentence_of_its_own(planned):
    with pytest.raises(ManifestError) as caught:
        planned('defaults: {prompt: "a cat <lora:add_detail:0.8>"}\n')
    (problem,) = caught.value.problems
    assert "<lora:add_detail:0.8> in the prompt is a LoRA of A1111's" in problem
    assert "`latentpress export --lora FILE:SCALE`" in problem
    with pytest.raises(ManifestError, match=r"write \\<OK\\> for the characters themselves"):
        planned('defaults: {prompt: "a button saying <OK>"}\n')


def test_a_declared_concept_that_no_prompt_uses_is_warned_of(planned, tmp_path):
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_bytes(b"x")
    body = 'concepts: {<line-art>: a.bin, <moeb-style>: b.bin}\ndefaults: {prompt: "a <line-art> mouse"}\n'
    (warning,) = planned(body).warnings
    assert warning.startswith("m.yaml:4:45: warning: no prompt uses the concept <moeb-style>; write its token")
    used = "concepts: {<line-art>: a.bin}\ndefaults: {prompt: a, negative_prompt: <line-art>}\n"
    assert planned(used).warnings == ()


def test_a_near_miss_is_warned_of(manifest, facts):
    words = (("easynegative", "EasyNegative"),)
    near = replace(facts, check=lambda text, reading: PromptCheck(1, 75, "", (), near=words if text == "x" else ()))
    (warning,) = build_plan(manifest("defaults: {prompt: x}\n"), {"demo": near}, {}, lambda: 7).warnings
    said = "'easynegative' in the prompt is read as ordinary words; did you mean the concept EasyNegative?"
    assert warning.endswith(said)


@pytest.mark.parametrize(
    ("prompt", "changes", "drawn"),
    [
        ("[a mouse:<sepia>:0.5]", {}, ["a mouse", "<sepia>"]),
        ("[a mouse:<sepia>:0.5]", {"init_image": PICTURE, "strength": 0.5}, ["a mouse"]),
        ("[a mouse:<sepia>:3]", {}, ["a mouse"]),  # three ends with the fourth call, as in A1111
        ("[a mouse:<sepia>:3]", {"sampler": "heun"}, ["a mouse", "<sepia>"]),
    ],
)
def test_a_text_that_no_call_has_is_not_drawn(prompt, changes, drawn):
    asked = request(prompt, **{"steps": 4, "prompt_weighting": "a1111", "guidance_scale": 1.0, **changes})
    assert list(texts_drawn(asked)) == drawn


def test_one_token_of_several_is_use_enough(manifest, facts, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"x")
    own = replace(
        facts, vectors={"<s0>": "1" * 64}, check=lambda text, reading: PromptCheck(1, 75, "", (), concepts=("<s0>",))
    )
    made = manifest("concepts: {<s0><s1>: a.bin}\ndefaults: {prompt: a <s0> mouse}\n")
    assert build_plan(made, {"demo": own}, {}, lambda: 7).warnings == ()


def test_a_fault_of_a_negative_prompt_does_not_speak_of_the_prompt(manifest, facts):
    faults = {"a": None, "x": "'AND' in the prompt"}
    own = replace(facts, check=lambda text, reading: PromptCheck(1, 75, "", (), fault=faults[text]))
    with pytest.raises(ManifestError, match="the negative prompt cannot be read: 'AND' in it"):
        build_plan(manifest("defaults: {prompt: a, negative_prompt: x}\n"), {"demo": own}, {}, lambda: 7)
