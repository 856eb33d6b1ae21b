"""Plans: names that are safe, hashes that depend on pixels alone, drawn seeds that stay drawn."""

from dataclasses import replace

import pytest

from latentpress.batch.plan.plan import build_plan
from latentpress.errors import ManifestError

P = "defaults: {prompt: a mouse}\n"


def outputs(plan):
    return [str(job.output) for job in plan.jobs]


def test_names_are_filled_stripped_and_made_safe(planned):
    plan = planned(
        'defaults: {prompt: "in {style}"}\nmatrix:\n  style: [<line-art>, "a/b:c", {label: no guidance, value: x}]\n'
        'output: "{style}/{loss}-{seed}-{index}.png"\n'
    )
    assert outputs(plan) == ["line-art/none-0-1.png", "a-b-c/none-0-2.png", "no guidance/none-0-3.png"]
    assert plan.jobs[0].request.prompt == "in <line-art>"


def test_a_slash_in_a_value_makes_no_folder(planned):
    # Whatever the values, each name has as many parts as the template, so `a` is never both a file and a folder.
    values = '["a", "a/x.png", "/", "<a/b>", "a//b", "<<a/b>>", "a\\\\b", "\\u2215"]'
    plan = planned(P + f'matrix: {{style: {values}}}\noutput: "{{style}}/{{index}}.png"\n')
    assert {len(job.output.parts) for job in plan.jobs} == {2}


def test_the_hash_can_be_cut(planned):
    plan = planned(P + 'output: "{hash:.12}.png"\n')
    assert outputs(plan) == [plan.jobs[0].job_hash[:12] + ".png"]


def test_an_unknown_concept_is_named_once_at_the_prompt(planned):
    with pytest.raises(ManifestError) as caught:
        planned("defaults: {prompt: a <lime-art>}\nmatrix: {seed: 1..5}\n")
    (problem,) = caught.value.problems
    assert problem.startswith("m.yaml:4:20: <lime-art> in the prompt looks like a concept")
    assert problem.endswith("<line-art>, <moeb-style>")


def test_long_prompts_and_lines_that_fool_readers_are_warnings(planned):
    plan = planned('defaults: {prompt: "' + "word " * 75 + 'and the tail\\nSteps: 3"}\nmatrix: {seed: 1..2}\n')
    cut, fooled = plan.warnings
    assert "5 over the limit of 75; this is cut off: 'and the tail Steps: 3'" in cut
    assert "'Steps:'" in fooled


NEGATIVES = {
    "a job": ("jobs: [{negative_prompt: TEXT}]\n", "m.yaml:5:26"),
    "defaults": ("defaults: {prompt: a mouse, negative_prompt: TEXT}\n", "m.yaml:4:46"),
    "an axis": ("matrix: {negative_prompt: [TEXT]}\n", "m.yaml:5:28"),
}


@pytest.mark.parametrize("where", NEGATIVES)
def test_what_is_said_of_a_negative_prompt_names_it_and_its_own_place(where, planned):
    body, place = NEGATIVES[where]
    body = body if where == "defaults" else P + body
    cut, fooled = planned(body.replace("TEXT", '"' + "word " * 75 + 'tail\\nSteps: 3"')).warnings
    assert cut.startswith(f"{place}: warning: the negative prompt is 78 tokens long, 3 over")
    assert fooled.startswith(f"{place}: warning: the negative prompt holds 'Steps:'")
    with pytest.raises(ManifestError) as caught:
        planned(body.replace("TEXT", "a <nope>"))
    (problem,) = caught.value.problems
    assert problem.startswith(f"{place}: <nope> in the negative prompt looks like a concept")


def test_what_a_bundle_has_no_use_for_is_a_warning_at_its_place_or_at_the_models(manifest, facts):
    said = replace(facts, notes=lambda request: [("sampler", "no such"), ("negative_prompt", "no use")])
    body = 'defaults: {seed: 1, negative_prompt: blue}\nmatrix: {prompt: [a, b]}\noutput: "{prompt}.png"\n'
    plan = build_plan(manifest(body), {"demo": said}, {}, lambda: 7)
    assert plan.warnings == ("m.yaml:3:8: warning: no such", "m.yaml:4:38: warning: no use"), "once for both prompts"


def test_identical_jobs_share_a_hash_and_labels_do_not_matter(planned):
    plan = planned(P + 'jobs: [{id: a}, {id: b}, {id: c, seed: 1}]\noutput: "{id}.png"\n')
    a, b, c = plan.jobs
    assert a.job_hash == b.job_hash != c.job_hash
    assert (len(plan.jobs), plan.distinct) == (3, 2)


def test_hashes_are_the_same_every_time_and_follow_the_bundle(planned, facts, manifest):
    from dataclasses import replace

    from latentpress.batch.plan.plan import build_plan

    body = P + "matrix: {seed: 1..3, loss: [none, canny]}\n"
    first, again = planned(body), planned(body)
    assert first.plan_hash == again.plan_hash
    other = build_plan(manifest(body), {"demo": replace(facts, content="f" * 64)}, {}, lambda: 7)
    assert not {job.job_hash for job in first.jobs} & {job.job_hash for job in other.jobs}
    moved = build_plan(manifest(body), {"demo": replace(facts, hash="f" * 64)}, {}, lambda: 7)
    assert moved.plan_hash == first.plan_hash, "another folder of the same graphs is no other bundle"
    # Pinned: a ledger written by an earlier release must still be recognised.
    assert planned(P).jobs[0].job_hash == PINNED


PINNED = "b15fe2dfb62780677aa6b0ed6e2db0817ceea38116c8871f88b94b9a7eeab4de"


def test_equal_numbers_written_differently_hash_alike(planned):
    hashes = {
        planned(f"defaults: {{prompt: a, guidance_scale: {scale}, loss: {{name: canny, scale: {loss}}}}}\n")
        .jobs[0]
        .job_hash
        for scale, loss in [("8", "200"), ("8.0", "200.0"), ("8.", "2e2")]
    }
    assert len(hashes) == 1


def test_a_parameter_given_as_its_default_is_hashes_as_the_default(planned):
    def hashed(loss):
        return planned(f"defaults: {{prompt: a, loss: {loss}}}\n").jobs[0].job_hash

    # Pinned: jobs of earlier releases, whose thresholds were left at their default or were others.
    assert hashed("canny") == CANNY
    assert hashed("{name: canny, low: 100, high: 200.0}") == CANNY
    assert hashed("{name: canny, low: 50}") == CANNY_50
    for given, default in [("elastic, alpha: 50, sigma: 5.0", "elastic"), ("latents, target: 1", "latents")]:
        assert hashed(f"{{name: {given}}}") == hashed(default)
        assert hashed(f"{{name: {given.replace('5', '6').replace('1', '2')}}}") != hashed(default)


CANNY = "715a6a624ace059d5963d1548232528d6a7e4fc395176b1215f8dbe3e252e3b3"
CANNY_50 = "c4d8094f47d5dd26f7f469b7c86d76ca4541a50d4a37b2f5dbc8a46b8563969e"


def test_drawn_seeds_are_distinct_and_stay_as_frozen(planned):
    seeds = iter(range(100, 200))
    body = P + 'jobs: [{id: a, seed: -1, n: 2}, {id: b, seed: -1}]\noutput: "{id}-{seed}.png"\n'
    first = planned(body, draw=lambda: next(seeds))
    assert outputs(first) == ["a-100.png", "a-101.png", "b-102.png"]
    assert first.undrawn == 3
    # A job put before them does not move the seeds of the others.
    longer = body.replace("[{id: a", "[{id: new, seed: -1}, {id: a")
    again = planned(longer, frozen=first.draws, draw=lambda: next(seeds))
    assert outputs(again) == ["new-103.png", "a-100.png", "a-101.png", "b-102.png"]
    assert again.undrawn == 1


def test_seeds_have_64_bits_and_survive_tables(planned):
    seeds = [0, 2**63 - 1, 2**63, 2**64 - 1]
    plan = planned(P + f"jobs: [{', '.join(f'{{seed: {seed}}}' for seed in seeds)}]\noutput: '{{seed}}.png'\n")
    assert [job.request.seed for job in plan.jobs] == seeds == [plan.jobs[index].request.seed for index in range(4)]
    assert outputs(plan) == [f"{seed}.png" for seed in seeds] == [f"{job.labels['seed']}.png" for job in plan.jobs]
    (last,) = planned(P + f"jobs: [{{seed: {2**64 - 2}, n: 2}}]\n").jobs[1:]
    assert last.job_hash == plan.jobs[3].job_hash
    assert planned(P + f"matrix: {{seed: {2**64 - 3}..{2**64 - 1}}}\n").jobs[2].request == last.request
    with pytest.raises(ManifestError, match=r"the seeds would pass 2\^64-1; start from a smaller one"):
        planned(P + f"jobs: [{{seed: {2**64 - 2}, n: 3}}]\n")
    with pytest.raises(ManifestError, match=rf"job 2 \(id 2, seed {2**64 - 1}\) both have the output name"):
        planned(P + f"jobs: [{{seed: 1}}, {{seed: {2**64 - 1}}}]\noutput: x.png\n")


def test_seeds_that_draw_one_picture_are_told(planned):
    body = P + f"jobs: [{{id: a, seed: 42}}, {{id: b, seed: {2**32 + 42}}}, {{id: c, seed: 42}}, {{id: d, seed: 43}}"
    (warning,) = planned(body + "]\n").warnings
    named = "job 1 (id a, seed 42) and job 2 (id b, seed 4294967338) draw one picture, because noise"
    assert warning.startswith(f"m.yaml: warning: {named}")
    warning, rounded = planned(
        body + f", {{seed: {2**63 + 42}}}, {{seed: {2**64 - 1}}}, {{seed: {2**32 - 1}}}]\n"
    ).warnings
    assert rounded.startswith(
        "m.yaml: warning: job 5 (id 5, seed 9223372036854775850) has a seed above 2^53 (and 1 more"
    )
    assert "draw one picture (and 2 more like them), because" in warning
    # Another picture anyway, or the same one twice; a Brownian path grows from the whole seed.
    other = f"steps: 9, seed: {2**32 + 42}"
    assert planned(P + f"jobs: [{{seed: 42}}, {{{other}}}, {{id: again, {other}}}]\n").warnings == ()
    assert planned(body.replace("a mouse", "a mouse, sampler: dpmpp_sde_karras") + "]\n").warnings == ()
    assert planned(P + f"matrix: {{seed: {2**40}..{2**40 + 50}}}\n").warnings == ()


def test_a_drawn_seed_of_64_bits_stays_as_frozen(go, folder, new_executor):
    body = P + "jobs: [{seed: -1}]\noutput: '{seed}.png'\n"
    go(body, new_executor(), draw=lambda: 2**64 - 5)
    (job,) = folder(body, draw=lambda: 1).plan().jobs
    assert job.request.seed == 2**64 - 5


def test_what_no_font_has_is_named_before_anything_is_rendered(planned):
    body = P + 'matrix: {style: [{label: "TEXT", value: flat}], seed: [1, 2]}\nsheet: {rows: seed, columns: style}\n'
    assert planned(body.replace("TEXT", "Größe ½ – café ≤ ∞ λ Ж")).warnings == ()
    (warning,) = planned(body.replace("TEXT", "a\\U0010fffeb\\U0010fffec")).warnings
    assert warning.startswith("m.yaml: warning: no font here has ")
    assert "(U+10FFFE), which the sheet sheet shows; install a font that has it" in warning
    assert planned(body.replace("TEXT", "\\U0010fffe").replace("sheet:", "# sheet:")).warnings == ()
    (warning,) = planned(body.replace("TEXT", "a").replace("rows:", "font: Nonsense Sans, rows:")).warnings
    assert "the sheet sheet cannot be drawn here: font 'Nonsense Sans' is not installed here" in warning
