"""The rules about prompts touch the jobs whose pixels they changed, and what is lost of a prompt is warned of."""

from dataclasses import replace

import pytest

from latentpress.batch.job import hash_job
from latentpress.runtime import rules
from latentpress.runtime.request import RenderRequest


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
    assert [rule.name for rule in rules.rules_of(asked, None)] == ["unassigned-characters"] * touched
    ruled = replace(facts, rules=lambda request: rules.rules_of(request, None))
    assert (hash_job(asked, ruled) != hash_job(asked, facts)) == touched


def test_what_basic_leaves_out_is_warned_of(planned):
    (warning,) = planned('defaults: {prompt: "a \\u200d\\u200d mouse"}\n').warnings
    assert warning.startswith("m.yaml:4:20: warning: the prompt holds U+200D, which `text_cleaning: basic` leaves out")
    assert planned('defaults: {prompt: "a \\u200d mouse", text_cleaning: clip}\n').warnings == ()
    assert planned('defaults: {prompt: "a\\n 🫨 café, mouse"}\n').warnings == ()
