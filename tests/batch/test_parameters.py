"""What the `parameters` of a picture say beside its settings, in the words that other programs look for."""

import pytest

from latentpress.batch.pictures.metadata import a1111_parameters

P = "defaults: {prompt: TEXT"


@pytest.fixture
def parameters(planned, facts):
    """parameters(prompt, fields): of the one picture that these give."""

    def write(prompt, fields=""):
        [job] = planned(P.replace("TEXT", repr(prompt)) + fields + "}\n").jobs
        return a1111_parameters(job, {"demo": facts})

    return write


def test_brackets_that_are_characters_are_said_to_be(parameters):
    assert ", Emphasis: None, " in parameters("a kite, (red:1.2)")
    assert ", Emphasis: None, " in parameters("a kite", ", negative_prompt: '[dull]'")
    assert "Emphasis" not in parameters("a kite")
    assert "Emphasis" not in parameters("a (red)++ kite", ", prompt_weighting: compel")


def test_concepts_are_listed_by_their_files(parameters):
    said = parameters("a kite in <line-art> and <moeb-style>")
    assert f', TI hashes: "line-art: {"a" * 12}, moeb-style: {"b" * 12}", Version' in said
    assert "TI hashes" not in parameters("a kite")


def test_losses_and_micro_conditioning_are_told(parameters):
    loss = "[{name: channel, channel: red, target: 0.5, every: 2, stop: 0.5}, {name: symmetry, scale: 3}]"
    said = parameters("a kite", f", loss: {loss}, micro_conditioning: {{original_size: 80x72, crop_top_left: [4, 8]}}")
    assert ", Loss guidance: channel+symmetry, Loss scale: 200+3, Loss every: 2+5, " in said
    assert ", Loss start: 0+0, Loss stop: 0.5+1, Loss parameters: channel=red target=0.5 + none, " in said
    assert ", Original size: 80x72, Crop top left: 4+8, " in said
    assert "Loss step" not in said
    losses = ("step: raw, clamp: true", "cap: 0.1, warm_up: 0.5", "method: x0_mc, spread: 0.2", "method: x0")
    said = parameters("a kite", f", loss: [{', '.join(f'{{name: symmetry, {own}}}' for own in losses)}]")
    assert ", Loss step: raw clamp + cap=0.1 warm_up=0.5 + default + default" in said
    assert ", Loss method: default + default + x0_mc spread=0.2 + default, " in said


@pytest.mark.parametrize(
    "prompt", ["a kite, Negative prompt: hello", "Steps: 7", "a\nSteps: 3", "a, Negative prompt:b"]
)
def test_a_prompt_that_imitates_the_format_is_warned_of(prompt, planned):
    marker = "Negative prompt:" if "Neg" in prompt else "Steps:"
    for field in ("prompt: TEXT", "prompt: x, negative_prompt: TEXT"):
        text = '"' + prompt.replace("\n", "\\n") + '"'
        (warning,) = planned(f"defaults: {{{field.replace('TEXT', text)}}}\n").warnings
        assert f"holds '{marker}', which readers of the `parameters` text take for their own" in warning
    assert planned("defaults: {prompt: 'negative prompt, steps'}\n").warnings == ()
