"""Braces in prompts: the same prompts as dynamicprompts gives, all of them, in its order; and words that a seed draws."""

from collections import Counter
from math import prod

import pytest
from dynamicprompts.generators import CombinatorialPromptGenerator

from latentpress.errors import ManifestError
from latentpress.manifest.braces import count_of, each, say
from latentpress.manifest.variants import read_variants

P = "defaults: {prompt: a mouse}\n"


def texts(prompt):
    return [say(row).text for row in each(read_variants(prompt).parts)]


def drawn(prompt, seed, salt="prompt"):
    (row,) = each(read_variants(prompt).parts)
    return say(row, seed, salt).text


def prompts(read):
    return [draft.values["prompt"] for draft, _, _ in read.drafts()]


@pytest.mark.parametrize(
    "prompt",
    [
        "a {red|green|blue} kite over {sea|dunes}",
        "{a|{b|c} d|e}{|f}",
        "a {b {c|d {e|f}}|g} h",
        "{2$$a|b|c}",
        "{2$$ and $$a|b|c|d} x",
        "{1-2$$a|b} {c|d}",
        "{2-$$a|b|c}",
        "{-2$$a|b|c}",
        "{3$$, $$a|b|c} {!d|e}",
        "{2::red|1::blue} kite",
        "a {(red:1.2)|[blue]} kite, (glass:1.3)",
    ],
)
def test_all_of_braces_are_what_dynamicprompts_gives(prompt):
    ours = texts(prompt)
    theirs = [str(one) for one in CombinatorialPromptGenerator().generate(prompt, max_prompts=1000)]
    assert ours == theirs
    assert count_of(read_variants(prompt).parts) == len(ours)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("{{red|blue}}", ["{{red|blue}}"]),  # `{{` is a brace, which templates.py takes for one character
        ("{{red|blue} kite|owl}", ["red kite", "blue kite", "owl"]),  # and where that cannot be, two that open
        ("{{{a|b}}}", ["{{a}}", "{{b}}"]),
        ("{style} {style:.12} {a.b}", ["{style} {style:.12} {a.b}"]),
        ("{{style} a|b}", ["{style} a", "b"]),
        ("{[a|b] c|d}", ["[a|b] c", "d"]),  # A1111's alternating words are one option
        ("{[a|b} c", ["[a c", "b c"]),
        ("[{a|b}|c]", ["[a|c]", "[b|c]"]),
        (r"{a\|b|c}", ["a|b", "c"]),
        ("{a|a|b}", ["a", "b"]),
        ("{ red | blue}kite", [" red kite", " bluekite"]),
        ("{2$$a|{b|c}}", ["a,b", "a,c", "b,a", "c,a"]),
        ("{a", ["{a"]),
        ("a | b", ["a | b"]),
    ],
)
def test_what_dynamicprompts_reads_otherwise_or_not_at_all(prompt, expected):
    assert texts(prompt) == expected


def test_drawn_words_depend_on_the_seed_alone():
    prompt = "{~red|green|blue} {~2$$ and $$a|b|c}"
    once = [drawn(prompt, seed) for seed in range(300)]
    assert once == [drawn(prompt, seed) for seed in range(300)]
    assert {text.split()[0] for text in once} == {"red", "green", "blue"}
    assert {text.partition(" ")[2] for text in once} == {f"{a} and {b}" for a in "abc" for b in "abc" if a != b}
    assert [drawn("{~x|y}", seed) for seed in range(99)] != [drawn("{~x|y}", seed, "negative") for seed in range(99)]


def test_drawn_words_are_drawn_by_weight_and_apart_from_each_other():
    pairs = Counter(drawn("{~3::red|blue|0::no} {~3::red|blue}", seed) for seed in range(2000))
    for text, count in pairs.items():
        expected = 2000 * prod(0.75 if word == "red" else 0.25 for word in text.split())
        assert abs(count - expected) < 5 * expected**0.5, (text, count)  # 5 standard deviations
    assert len(pairs) == 4


def test_an_option_that_comes_or_goes_changes_no_picture_that_has_another():
    few, more = "{~red|green|blue}", "{~red|lilac|green|blue}"
    both = [(drawn(few, seed), drawn(more, seed)) for seed in range(400)]
    assert all(after in (before, "lilac") for before, after in both)
    assert 60 < sum(after == "lilac" for _, after in both) < 140
    # Nor do other braces before it, or weights left as they are.
    assert [drawn(few, seed) for seed in range(99)] == [drawn("{~a|b} " + few, seed)[2:] for seed in range(99)]


def test_long_lists_are_drawn_from_as_short_ones_are():
    """An array draws from many options, a loop from few: from the same ones the same."""
    from latentpress.manifest import braces

    words = [f"w{number}" for number in range(200)]
    ((many,),) = each(read_variants("{~" + "|".join(words) + "}").parts)
    for stir in range(50):
        in_array = braces._least_of_many(many.digests, stir << 57 | 12345, 3)
        marks = [braces._mixed((stir << 57 | 12345) ^ digest) for digest in many.digests]
        assert list(in_array) == sorted(range(200), key=marks.__getitem__)[:3]


def test_each_combination_is_a_picture_and_seeds_move_fastest(manifest):
    read = manifest('jobs: [{prompt: "{red|blue} kite over {sea|dunes}", seed: 5..6}]\n')
    found = [(draft.values["prompt"], seed) for draft, seed, _ in read.drafts()]
    kites = [f"{colour} kite over {place}" for colour in ("red", "blue") for place in ("sea", "dunes")]
    assert found == [(kite, seed) for kite in kites for seed in (5, 6)]


@pytest.mark.parametrize("axes", ["style: [x, y], seed: 1..2", "seed: 1..2, style: [x, y]"])
def test_braces_cross_the_matrix(axes, manifest):
    read = manifest(f'defaults: {{prompt: "{{a|b}} in {{style}}"}}\nmatrix: {{{axes}}}\n')
    found = [(draft.values["prompt"], seed) for draft, seed, _ in read.drafts()]
    assert sorted(found) == [(f"{word} in {style}", seed) for word in "ab" for style in "xy" for seed in (1, 2)]
    if axes.startswith("style"):
        assert found[:4] == [("a in x", 1), ("a in x", 2), ("b in x", 1), ("b in x", 2)]


def test_braces_in_defaults_axes_and_negative_prompts(manifest):
    read = manifest('defaults: {negative_prompt: "{x|y}"}\nmatrix: {prompt: ["{a|b}", c]}\n')
    found = [(draft.values["prompt"], draft.values["negative_prompt"]) for draft, _, _ in read.drafts()]
    assert found == [(one, other) for one in "abc" for other in "xy"]


def test_named_braces_fill_a_placeholder(planned):
    body = (
        'defaults: {prompt: "a {color=red|{tone=pale|deep} blue} kite, a {color} sail", negative_prompt: "not {color}"}\n'
        'output: "{color}/{tone}/{variant}.png"\nsheet: {rows: color}\n'
    )
    plan = planned(body)
    assert [job.request.prompt for job in plan.jobs] == [
        "a red kite, a red sail",
        "a pale blue kite, a pale blue sail",
        "a deep blue kite, a deep blue sail",
    ]
    assert plan.jobs[1].request.negative_prompt == "not pale blue"
    assert [str(job.output) for job in plan.jobs] == [
        "red/none/red.png",
        "pale blue/pale/pale blue.png",
        "deep blue/deep/deep blue.png",
    ]


def test_default_names_never_collide(planned):
    plan = planned('jobs: [{prompt: "a {red|blue|} kite"}, {prompt: "a {red|} kite"}]\n')
    assert len({str(job.output) for job in plan.jobs}) == 5


def test_drawn_words_of_a_drawn_seed_follow_the_seed(planned):
    body = 'defaults: {prompt: "a {color=~red|green|blue} {noun}"}\njobs: [{seed: {draw: 40, along: noun}}]\n'
    body += 'matrix: {noun: [kite, owl]}\noutput: "{color}-{noun}-{seed}.png"\n'
    seeds = iter(range(1000))
    plan = planned(body, draw=lambda: next(seeds))
    by_noun = [
        [job.request.prompt.split()[1] for job in plan.jobs if noun in job.request.prompt] for noun in ("kite", "owl")
    ]
    assert by_noun[0] == by_noun[1] == [drawn("{color=~red|green|blue}", seed) for seed in range(40)]
    assert all(str(job.output).startswith(job.request.prompt.split()[1]) for job in plan.jobs)
    # The seeds are in the ledger, and with them the words.
    again = planned(body, dict(plan.draws), draw=lambda: 1 / 0)
    assert [job.job_hash for job in again.jobs] == [job.job_hash for job in plan.jobs]


def test_a_draw_is_shared_by_a_jobs_braces_unless_along_says_otherwise(planned):
    seeds = iter(range(1000))
    for seed, different in (("-1", 1), ("{draw: 1, along: none}", 6)):
        plan = planned(f'jobs: [{{prompt: "{{a|b|c}} {{d|e}}", seed: {seed}}}]\n', draw=lambda: next(seeds))
        assert len({job.request.seed for job in plan.jobs}) == different


def test_a_prompt_may_name_the_seed_of_an_axis_beside_braces(manifest):
    read = manifest('defaults: {prompt: "{a|b} {seed}"}\nmatrix: {seed: 7..8}\n')
    assert prompts(read) == ["a 7", "b 7", "a 8", "b 8"]


def test_more_prompts_than_a_manifest_may_ask_for_are_told_at_once(manifest):
    with pytest.raises(ManifestError, match=r"m.yaml:4:20: prompt comes to 10,000,000,000 texts, and a manifest asks"):
        manifest('defaults: {prompt: "' + "{0|1|2|3|4|5|6|7|8|9}" * 10 + '"}\n')


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("{@a|b}", "prompt has cyclical braces, {@...} ('a'); list maps as an axis of `matrix`"),
        ("{3$$a|b}", "prompt has '3$$' before 2 options; ask for at most as many"),
        ("{2-1$$a|b}", "prompt has '2-1$$', which runs backwards"),
        ("{$$a|b}", "prompt has '$$' without a number before it; write {2$$red|green|blue}"),
        ("${x={a|b}} c", "prompt has a variable of dynamicprompts, ${name=...}; write {name=red|blue}"),
        ("{seed=a|b}", "prompt names its braces 'seed', which is a field, an axis or a placeholder already"),
        ("{variant=a|b}", "prompt names its braces 'variant', which is"),
        ("{a|b", "prompt has an unmatched brace"),
        ("{a|{stile}}", "prompt names the placeholder {stile}, which nothing fills; did you mean {style}?"),
        ("{~a|b {stile}}", "prompt names the placeholder {stile}, which nothing fills; did you mean {style}?"),
        ("{colour=a|b} {color}", "prompt names the placeholder {color}, which nothing fills; did you mean {colour}?"),
        ("{a|" * 70 + "}" * 70, "prompt has braces nested deeper than 64 levels"),
    ],
)
def test_a_mistake_in_braces_is_told_at_its_place(prompt, said, manifest):
    with pytest.raises(ManifestError) as caught:
        manifest(f"matrix: {{style: [x, y]}}\ndefaults: {{prompt: '{prompt}'}}\n")
    (problem,) = caught.value.problems
    assert problem.startswith(f"m.yaml:5:20: {said}")


def test_weights_that_count_for_nothing_are_warned_of(manifest):
    (warning,) = manifest('defaults: {prompt: "{2::red|blue}"}\n').warnings
    assert warning.startswith("m.yaml:4:20: warning: prompt has weights at 'red', and all options are rendered")
    assert manifest('defaults: {prompt: "{red|2::red|blue}"}\n').warnings == (warning,)
    assert not manifest('defaults: {prompt: "{~2::red|blue}"}\n').warnings
    assert not manifest('defaults: {prompt: "{red|red|blue}"}\n').warnings, "nobody wrote a weight"


def test_braces_in_a_word_of_an_axis_are_characters_and_warned_of(manifest):
    read = manifest("defaults: {prompt: 'in {style}'}\nmatrix: {style: ['{a|b}']}\n")
    assert prompts(read) == ["in {a|b}"]
    assert read.warnings == (
        "m.yaml:5:18: warning: '{a|b}' has braces, which are characters in a word of an axis; "
        "list the words themselves",
    )


@pytest.mark.parametrize(
    "body",
    [
        "defaults: {prompt: '{a|b}', negative_prompt: low}\njobs: [{negative_prompt: null}]\n",
        "defaults: {prompt: '{a|b}', negative_prompt: low}\nmatrix: {negative_prompt: [null]}\n",
    ],
)
def test_no_negative_prompt_at_all_stays_none_beside_braces(body, manifest):
    """SDXL's checkpoints tell none at all from the empty text."""
    assert [draft.values["negative_prompt"] for draft, _, _ in manifest(body).drafts()] == [None, None]
