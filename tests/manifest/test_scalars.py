"""What a YAML scalar means, the same in every field: null is not given, numbers are text as written, true is no text."""

from dataclasses import replace

import pytest

from latentpress.batch.pictures.metadata import text_chunks
from latentpress.batch.plan.plan import build_plan
from latentpress.errors import ManifestError
from latentpress.manifest.field import WRONG, Reader
from latentpress.manifest.fields import FIELDS
from latentpress.manifest.nodes import Place, Problems, Scalar
from latentpress.runtime.request import Origin

P = "defaults: {prompt: a mouse}\n"
NULLS = ["null", "Null", "NULL", "~", ""]
# Of each field that has a default: something else, to be switched off.
SET = {
    "negative_prompt": "blurry",
    "seed": "7",
    "size": "128x64",
    "sampler": "lms",
    "steps": "3",
    "guidance_scale": "2",
    "loss": "canny",
    "guidance_rescale": "0.5",
    "guidance_stop": "0.5",
    "clip_skip": "1",
    "eta": "0.5",
    "timesteps": "[999, 500]",
    "init_image": "m.yaml",
    "mask_image": "m.yaml",
    "strength": "0.5",
    "refiner": "somewhere",
    "micro_conditioning": "{aesthetic_score: 3}",
    "prompt_weighting": "a1111",
    "long_prompts": "chunks",
}


def asked(manifest):
    """Of each picture, what it asks for, without the places that values came from."""
    return [
        {
            name: [one.model for one in value] if name == "refiner" else value
            for name, value in {**draft.values, "seed": seed}.items()
        }
        for draft, seed, _ in manifest.drafts()
    ]


def refused(read, body):
    with pytest.raises(ManifestError) as caught:
        read(body)
    return caught.value.problems


@pytest.mark.parametrize("null", NULLS)
def test_a_field_that_is_null_has_its_default_and_no_word_of_it_is_read(null):
    for name, field in FIELDS.items():
        problems = Problems()
        assert field.read(Scalar(null, True, Place("m.yaml", 1, 1)), Reader(problems)) is field.default, name
        problems.raise_if_any()
        assert field.read(Scalar("", False, Place("m.yaml", 1, 1)), Reader(Problems())) in ("", WRONG), "in quotes"


@pytest.mark.parametrize("null", NULLS)
@pytest.mark.parametrize("name", SET)
def test_null_switches_a_default_off(name, null, manifest, monkeypatch):
    if name.endswith("_image"):
        monkeypatch.setattr("latentpress.manifest.given._look", lambda *state: "a picture")
    [plain] = asked(manifest(P))
    body = f"defaults: {{prompt: a mouse, {name}: {SET[name]}}}\n"
    [on] = asked(manifest(body))
    assert on[name] != plain[name]
    assert asked(manifest(body + f"jobs:\n  - {{{name}: {null}}}\n")) == [plain]
    value = SET[name] if name != "micro_conditioning" else f"{{label: low, value: {SET[name]}}}"
    assert asked(manifest(body + f"matrix: {{{name}: [{null or '~'}, {value}]}}\n")) == [plain, on]


def test_on_sdxl_none_at_all_is_written_null_and_is_not_the_empty_text(manifest, facts):
    facts = replace(facts, zeros_for_no_negative=True)

    def planned(body):
        return build_plan(manifest(body), {"demo": facts}, {}, lambda: 7)

    (plain,) = planned(P).jobs
    body = "defaults: {prompt: a mouse, negative_prompt: lowres}\n"
    plan = planned(body + 'matrix: {negative_prompt: [~, "", blurry, "null"]}\noutput: "n-{negative_prompt}.png"\n')
    assert [job.request.negative_prompt for job in plan.jobs] == [None, "", "blurry", "null"]
    assert [str(job.output) for job in plan.jobs] == ["n-none.png", "n-.png", "n-blurry.png", "n-null.png"]
    assert [job.labels["negative_prompt"] for job in plan.jobs] == ["none", "", "blurry", "null"]
    assert plan.jobs[0].job_hash == plain.job_hash != plan.jobs[1].job_hash
    texts = [text_chunks(job, {"demo": facts}, Origin("x", 8, "any"), "")["parameters"] for job in plan.jobs]
    assert [text.split("\n")[1] for text in texts] == [
        f"Negative prompt: {said}" for said in ("", "", "blurry", "null")
    ]
    jobs = planned(
        body + "jobs:\n  - {negative_prompt: null}\n  - {negative_prompt: }\n  - {negative_prompt: ''}\n  - {}\n"
    ).jobs
    assert [job.request.negative_prompt for job in jobs] == [None, None, "", "lowres"]


def test_a_word_of_ones_own_that_is_null_is_nothing_in_a_prompt_and_none_in_a_name(planned):
    body = 'defaults: {prompt: "{where} mouse in {steps}"}\nmatrix: {where: [null, in ink], steps: [~, 2]}\n'
    plan = planned(body + 'output: "{where}/{steps}.png"\n')
    prompts = [job.request.prompt for job in plan.jobs]
    assert prompts == [" mouse in 30", " mouse in 2", "in ink mouse in 30", "in ink mouse in 2"]
    assert [str(job.output) for job in plan.jobs][:2] == ["none/30.png", "none/2.png"]
    body = body.replace("[~, 2]}", "[~, 2], exclude: [{where: null, steps: null}]}")
    assert [job.request.prompt for job in planned(body).jobs] == prompts[1:]


def test_a_value_that_is_null_takes_its_label(planned):
    body = P + "matrix: {steps: [{label: usual, value: null}, {label: null, value: 2}]}\noutput: '{steps}.png'\n"
    assert [(str(job.output), job.request.steps) for job in planned(body).jobs] == [("usual.png", 30), ("2.png", 2)]


def test_the_seed_of_an_axis_may_be_null(planned):
    plan = planned(
        "defaults: {prompt: a, seed: 9}\nmatrix: {seed: [null, 5], steps: [1, 2]}\noutput: '{seed}-{steps}.png'\n"
    )
    assert [str(job.output) for job in plan.jobs] == ["0-1.png", "0-2.png", "5-1.png", "5-2.png"]


def test_null_in_a_job_leaves_the_field_to_the_matrix(planned):
    plan = planned(P + "matrix: {seed: [5, 6], steps: [3]}\njobs: [{seed: null, steps: null, n: null, id: null}]\n")
    assert [(job.id, job.request.seed, job.request.steps) for job in plan.jobs] == [("1", 5, 3), ("1", 6, 3)]


def test_null_is_as_good_as_nothing_in_maps(planned):
    micro = "{original_size: null, crop_top_left: ~, target_size: , aesthetic_score: 5}"
    loss = "{name: channel, scale: null, every: ~, start: null, stop: null, channel: null, target: ~}"
    body = f"defaults: {{prompt: a mouse, micro_conditioning: {micro}, loss: {loss}}}\n"
    (job,) = planned(body).jobs
    (same,) = planned("defaults: {prompt: a mouse, micro_conditioning: {aesthetic_score: 5}, loss: channel}\n").jobs
    assert job.job_hash == same.job_hash
    losses = planned(P + "jobs: [{loss: [null, canny]}, {loss: {name: none, scale: 3}}, {loss: 'none'}]\n").jobs
    assert [[loss.name for loss in job.request.losses] for job in losses] == [["canny"], [], []]


def test_null_is_as_good_as_nothing_beside_the_fields(planned):
    bare = planned(P)
    body = P + "matrix: null\njobs: ~\noutput:\nsheet: null\nconcepts: null\n"
    plan = planned(body)
    assert (plan.plan_hash, plan.name, plan.sheets) == (bare.plan_hash, "m", ())
    plan = planned(P + "matrix: {style: [x], exclude: null}\nsheet: {rows: null, columns: style}\n")
    assert [(sheet.rows, sheet.columns) for sheet in plan.sheets] == [((), ("style",))]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "defaults: {prompt: null}\n",
            "m.yaml:4:20: prompt is null, which switches it off, and every picture needs one",
        ),
        (P + "jobs: [{prompt: }]\n", "m.yaml:5:17: prompt is null, which switches it off, and every picture needs one"),
        (P + "jobs: [{model: ~}]\n", "m.yaml:5:16: model is null, which switches it off, and every picture needs one"),
        (P + "matrix: {prompt: [null]}\n", "m.yaml:5:19: prompt is null, which switches it off"),
        (P + "matrix: {style: }\n", "m.yaml:5:17: axis 'style' is empty; give it at least one value"),
        (P + "jobs: [{refiner: {model: null}}]\n", "m.yaml:5:18: refiner has no model; write {model:"),
        (P + "jobs: [{loss: {name: null}}]\n", "m.yaml:5:15: loss has no name; write {name:"),
        (P + "concepts: {<a>: null}\n", "m.yaml:5:17: concept <a> names no file"),
        (P + "concepts: {<a>: {file: null}}\n", "m.yaml:5:17: concept <a> has no file"),
        ("jobs: null\n", "m.yaml:1:1: the manifest is empty"),
    ],
)
def test_null_where_something_is_needed_is_that_it_is_missing(body, said, manifest):
    (problem,) = refused(manifest, body)
    assert problem.startswith(said)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ("defaults: {prompt: IT}\n", "4:20: prompt"),
        (P + "jobs: [{negative_prompt: IT}]\n", "5:26: negative_prompt"),
        (P + "matrix: {negative_prompt: [blurry, IT]}\n", "5:36: negative_prompt"),
        (P + "jobs: [{sampler: IT}]\n", "5:18: sampler"),
        (P + "jobs: [{model: IT}]\n", "5:16: model"),
        (P + "jobs: [{id: IT}]\n", "5:13: id"),
        (P + "matrix: {style: [{label: IT, value: x}]}\n", "5:26: label"),
        (P + "output: IT\n", "5:9: output"),
        (P + "concepts: {<a>: IT}\n", "5:17: concept <a>"),
        (P + "sheet: {rows: IT}\n", "5:15: sheet rows"),
        ("defaults: {prompt: a, micro_conditioning: {original_size: IT}}\n", None),
        ("defaults: {prompt: a, steps: IT}\n", None),
    ],
)
@pytest.mark.parametrize("truth", ["true", "False"])
def test_a_truth_value_is_no_text(truth, body, place, manifest):
    problems = refused(manifest, body.replace("IT", truth))
    if place is None:  # a number or a size: its own sentence
        assert len(problems) == 1
        assert f" is '{truth}'; " in problems[0]
    else:
        said = f"is {truth}, which YAML takes for a truth value; write '{truth}' in quotes for the word"
        assert problems[0] == f"m.yaml:{place} {said}"


def test_text_in_quotes_is_text_whatever_it_says(planned):
    body = "defaults: {prompt: x}\njobs:\n" + "".join(
        f"  - {{prompt: '{word}'}}\n" for word in ("true", "null", "~", "")
    )
    assert [job.request.prompt for job in planned(body).jobs] == ["true", "null", "~", ""]


def test_a_number_or_a_word_of_old_yaml_is_text_as_written(planned):
    words = ["12:30", "1984", "1.50", "0x1f", "1e3", "yes", "off", "none", "2026-11-27"]
    body = "defaults: {prompt: x}\njobs:\n" + "".join(
        f"  - {{prompt: {word}, negative_prompt: {word}}}\n" for word in words
    )
    requests = [job.request for job in planned(body).jobs]
    assert [request.prompt for request in requests] == words == [request.negative_prompt for request in requests]


def test_a_number_in_quotes_is_called_so(manifest):
    body = "defaults: {prompt: a, steps: '9', size: '512', seed: '-1'}\n"
    assert refused(manifest, body) == (
        "m.yaml:4:30: steps is '9' in quotes, which is text; it must be a whole number from 1 to 1000",
        "m.yaml:4:41: size is '512' in quotes, which is text; write it as 512x512, [512, 512] or 512",
        "m.yaml:4:54: seed is '-1' in quotes, which is text; it must be a whole number from 0 to 2^64-1, a range such as "
        "1000..1007, a list of them, or -1 or {draw: 4} to have seeds drawn",
    )
