"""Fields that say how prompts are read and until when they guide: hashed when set, named in every picture."""

import json

import pytest

from latentpress.batch.pictures.metadata import text_chunks
from latentpress.batch.plan.job import request_data
from latentpress.errors import ManifestError
from latentpress.runtime.request import Origin

P = "defaults: {prompt: a (red) mouse"
ORIGIN = Origin("onnxruntime-cpu", 8, "untested")


def test_a_job_without_them_keeps_its_hash(planned):
    (plain,) = planned(P + "}\n").jobs
    assert request_data(plain.request).keys().isdisjoint(("prompt_weighting", "long_prompts", "guidance_stop"))
    assert (
        planned(P + ", prompt_weighting: none, long_prompts: truncate, guidance_stop: 1}\n").jobs[0].job_hash
        == plain.job_hash
    )


def test_each_of_them_makes_another_job(planned):
    plan = planned(P + "}\nmatrix: {prompt_weighting: [none, a1111, compel]}\noutput: '{prompt_weighting}.png'\n")
    assert len({job.job_hash for job in plan.jobs}) == 3
    assert [str(job.output) for job in plan.jobs] == ["none.png", "a1111.png", "compel.png"]
    assert [job.request.prompt_weighting for job in plan.jobs] == ["none", "a1111", "compel"]


@pytest.mark.parametrize(
    ("field", "parameters", "data"),
    [
        ("prompt_weighting: a1111", "Emphasis: Original", {"prompt_weighting": "a1111"}),
        ("prompt_weighting: compel", "Prompt weighting: compel", {"prompt_weighting": "compel"}),
        ("long_prompts: chunks", "Long prompts: chunks", {"long_prompts": "chunks"}),
        ("guidance_stop: 0.8", "CFG stop: 0.8", {"guidance_stop": 0.8}),
    ],
)
def test_pictures_name_them(field, parameters, data, planned, facts):
    (plain,), (job,) = planned(P + "}\n").jobs, planned(P + f", {field}}}\n").jobs
    chunks = text_chunks(job, {"demo": facts}, ORIGIN, "")
    assert f", {parameters}, " in chunks["parameters"]
    own, without = (
        json.loads(chunks["latentpress"]),
        json.loads(text_chunks(plain, {"demo": facts}, ORIGIN, "")["latentpress"]),
    )
    assert own["request"] == without["request"] | data
    assert f" {parameters}, " not in text_chunks(plain, {"demo": facts}, ORIGIN, "")["parameters"]


def test_a_prompt_that_cannot_be_read_so_is_reported_where_it_stands(planned):
    with pytest.raises(ManifestError) as caught:
        planned("defaults: {prompt: fine, prompt_weighting: compel}\njobs:\n  - {negative_prompt: no good}\n")
    assert caught.value.problems == ("m.yaml:6:23: the negative prompt cannot be read: the compel prompt is no good",)


def test_a_long_prompt_is_cut_with_a_warning_or_takes_chunks(planned):
    long = f"defaults: {{prompt: {'mouse ' * 80}"
    cut, whole = planned(long + "}\n"), planned(long + ", long_prompts: chunks}\n")
    assert "5 over the limit of 75; this is cut off: 'mouse mouse mouse mouse mouse'" in cut.warnings[0]
    assert (cut.chunks, whole.chunks, whole.warnings) == ({"c" * 64: 1}, {"c" * 64: 2}, ())
