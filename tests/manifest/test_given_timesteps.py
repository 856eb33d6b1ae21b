"""The field `timesteps`: how it is read, named, counted and hashed, and what is said where it cannot be had."""

from dataclasses import replace
from functools import partial

import pytest

from latentpress.batch.pictures.metadata import a1111_parameters
from latentpress.batch.plan.job import request_data
from latentpress.batch.plan.plan import build_plan
from latentpress.errors import ManifestError
from latentpress.runtime.limits import Limits
from latentpress.runtime.rules import Scene, rules_of

P = "defaults: {prompt: a mouse}\n"


def test_their_number_is_the_number_of_steps(planned, facts):
    (job,) = planned("defaults: {prompt: a mouse, timesteps: [999, 749, 0]}\noutput: '{timesteps} {steps}.png'\n").jobs
    assert (job.request.timesteps, job.request.steps) == ((999, 749, 0), 3)
    assert (str(job.output), job.labels["steps"]) == ("999-749-0 3.png", "3")
    text = a1111_parameters(job, {"demo": facts})
    assert "Steps: 3," in text
    assert "Timesteps: 999-749-0" in text
    (same,) = planned("defaults: {prompt: a mouse, steps: 3, timesteps: [999, 749, 0]}\n").jobs
    assert same.job_hash == job.job_hash


def test_a_job_without_them_keeps_its_hash(planned):
    (plain,), (null,), (given,) = (
        planned(P + f"jobs: [{{steps: 1{more}}}]\n").jobs for more in ("", ", timesteps: null", ", timesteps: [800]")
    )
    assert plain.job_hash == null.job_hash
    assert "timesteps" not in request_data(plain.request), "as in the release before the field was"
    assert given.job_hash != plain.job_hash
    assert plain.labels["timesteps"] == "none"


def test_an_axis_is_a_list_of_lists(planned):
    body = P + "matrix:\n  timesteps: [null, [800], {label: two, value: [999, 499]}]\n  sampler: [lcm, tcd]\n"
    plan = planned(body + "  exclude: [{timesteps: '800', sampler: lcm}]\noutput: '{sampler} {timesteps}.png'\n")
    assert [(str(job.output), job.request.timesteps, job.request.steps) for job in plan.jobs] == [
        ("lcm none.png", (), 30),
        ("tcd none.png", (), 30),
        ("tcd 800.png", (800,), 1),
        ("lcm two.png", (999, 499), 2),
        ("tcd two.png", (999, 499), 2),
    ]
    zipped = "matrix: {way: [{steps: 2, timesteps: null}, {steps: null, timesteps: [999, 800, 600]}]}\n"
    plan = planned("defaults: {prompt: '{steps}', steps: 9}\n" + zipped + "output: '{way}.png'\n")
    assert [(str(job.output), job.request.prompt) for job in plan.jobs] == [
        ("2.png", "2"),
        ("999-800-600.png", "3"),
    ]


LIST = "it must be a list such as [999, 749, 499, 249], and as an axis a list of such lists"
FALL = "each must be smaller than the one before"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (P + "jobs: [{timesteps: 800}]\n", f"5:20: timesteps is '800'; {LIST}"),
        (P + "matrix: {timesteps: [999]}\n", f"5:22: timesteps is '999'; {LIST}"),
        (P + "jobs: [{timesteps: []}]\n", f"5:20: timesteps is an empty list; {LIST}"),
        (
            P + "jobs: [{timesteps: [999, 1.5]}]\n",
            "5:26: a timestep is '1.5'; it must be a whole number from 0 up, such as 999",
        ),
        (
            P + "jobs: [{timesteps: [9, -1]}]\n",
            "5:24: a timestep is '-1'; it must be a whole number from 0 up, such as 999",
        ),
        (
            P + "jobs: [{timesteps: [9, [1]]}]\n",
            "5:24: a timestep is a list; it must be a whole number from 0 up, such as 999",
        ),
        (P + "jobs: [{timesteps: [9, 4, 4]}]\n", f"5:27: timestep 4 comes after 4; {FALL}"),
        (P + "jobs: [{timesteps: [249, 499]}]\n", f"5:26: timestep 499 comes after 249; {FALL}"),
        (
            f"defaults: {{prompt: a, timesteps: {[*range(1001)][::-1]}}}\n",
            "4:34: timesteps are 1,001; a picture takes at most 1000 steps",
        ),
        (
            "defaults: {prompt: a, steps: 8}\njobs: [{timesteps: [9, 4]}]\n",
            "5:20: timesteps are 2, and steps is 8; leave steps out, or switch it off with `steps: null`",
        ),
    ],
)
def test_a_mistake_is_one_sentence(body, said, manifest):
    with pytest.raises(ManifestError) as refused:
        manifest(body)
    assert refused.value.problems == (f"m.yaml:{said}",)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            "sampler: ddim, timesteps: [9, 4]",
            "timesteps are given, and ddim does not take any, as diffusers' DDIMScheduler does not; "
            "use one of ddpm, lcm, tcd, euler, heun, dpmpp_2m, dpmpp_2m_sde, or leave timesteps out",
        ),
        (
            "sampler: DPM++ 2M Beta, timesteps: [9, 4]",
            "timesteps are given, and dpmpp_2m with beta sigmas has its own; use dpmpp_2m, or leave timesteps out",
        ),
        (
            "sampler: lcm, timesteps: [1000, 4]",
            "timesteps are [1000, 4]; they must lie in 0..999, the training timesteps of this checkpoint",
        ),
    ],
)
def test_what_a_sampler_or_a_checkpoint_cannot_do_is_said_of_the_field(fields, said, manifest, facts, bundle):
    scene = Scene(bundle.info, {})
    facts = replace(facts, refusal=Limits(bundle.info, {}).refusal, rules=partial(rules_of, scene=scene))
    with pytest.raises(ManifestError) as refused:
        build_plan(manifest(P + f"jobs:\n  - {{{fields}}}\n"), {"demo": facts}, {}, lambda: 7)
    column = fields.index("[") + 6
    assert refused.value.problems == (f"m.yaml:6:{column}: {said}",)
    read = manifest(P + "jobs: [{sampler: tcd, timesteps: [800]}]\n")
    assert len(build_plan(read, {"demo": facts}, {}, lambda: 7).jobs) == 1
