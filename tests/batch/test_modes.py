"""Manifests that name pictures, masks and refiners: what is read, what is hashed, what is refused and where."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from families import mask_file, picture_file
from latentpress.batch.plan.plan import build_plan
from latentpress.cli import run_cli
from latentpress.errors import ManifestError
from latentpress.models import facts_of
from latentpress.runtime.request import MicroConditioning

P = "defaults: {prompt: a mouse"


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "in").mkdir()
    picture_file(tmp_path / "in")
    mask_file(tmp_path / "in")
    return tmp_path / "in"


def test_a_given_picture_brings_its_size_and_a_usual_strength(planned, pictures):
    plan = planned(
        P + "}\njobs:\n  - {id: a, init_image: in/picture.png}\n"
        "  - {id: b, init_image: in/picture.png, mask_image: in/mask.png}\n"
        "  - {id: c, init_image: in/picture.png, size: 64x32, strength: 0.5}\n"
        '  - {id: d, strength: 0.5}\noutput: "{id}-{init_image}-{mask_image}-{strength}.png"\n'
    )
    a, b, c, d = (job.request for job in plan.jobs)
    assert [(job.width, job.height) for job in (a, b, c, d)] == [(72, 80), (72, 80), (64, 32), (64, 64)]
    assert [job.strength for job in (a, b, c, d)] == [0.8, 1.0, 0.5, 1.0]
    assert [str(job.output) for job in plan.jobs] == [
        "a-picture-none-0.8.png",
        "b-picture-mask-1.png",
        "c-picture-none-0.5.png",
        "d-none-none-1.png",
    ]


def test_a_photograph_on_its_side_is_measured_upright(planned, pictures):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (101, 60)).save(pictures / "phone.jpg", exif=exif)
    (job,) = planned(P + ", init_image: in/phone.jpg}\n").jobs
    assert (job.request.width, job.request.height) == (56, 96)


def test_the_hash_holds_what_is_in_a_picture_and_not_where_it_lies(planned, pictures):
    def hash_of(fields):
        return planned(P + fields + "}\n").jobs[0].job_hash

    Image.open(pictures / "picture.png").save(pictures / "same.png")
    (pictures / "copy.png").write_bytes((pictures / "picture.png").read_bytes())
    first = hash_of(", init_image: in/picture.png")
    assert hash_of(", init_image: in/copy.png") == first
    assert hash_of(", init_image: in/mask.png") != first
    assert hash_of(", init_image: in/picture.png, strength: 0.4") != first
    assert hash_of(", init_image: in/picture.png, mask_image: in/mask.png") != first
    # What is said and changes nothing leaves the hash of a job without it.
    said = ", strength: 0.4, clip_skip: 0, guidance_rescale: 0, eta: 0, init_image: none, mask_image: ~, refiner: none"
    said += ", prompt_weighting: none, long_prompts: truncate, guidance_stop: 1"
    assert hash_of(said) == hash_of("")
    assert hash_of(", micro_conditioning: {aesthetic_score: 6}") == hash_of("")
    assert (
        len(
            {hash_of(f", {field}") for field in ("clip_skip: 1", "guidance_rescale: 0.5", "eta: 0.5, sampler: ddim")}
            | {hash_of("")}
        )
        == 4
    )


def test_no_negative_prompt_is_kept_apart_only_where_the_bundle_does(planned, manifest, facts):
    given, without = P + ', negative_prompt: ""}\n', P + "}\n"
    assert planned(given).jobs[0].job_hash == planned(without).jobs[0].job_hash
    zeros = replace(facts, zeros_for_no_negative=True)
    (given,), (without,) = (
        build_plan(manifest(body), {"demo": zeros}, {}, lambda: 7).jobs for body in (given, without)
    )
    assert (given.request.negative_prompt, without.request.negative_prompt) == ("", None)
    assert given.job_hash != without.job_hash


def test_micro_conditioning_reads_sizes_as_width_by_height(planned):
    (job,) = planned(
        P
        + ", micro_conditioning: {original_size: 1000x600, crop_top_left: [8, 16], target_size: 7, aesthetic_score: 5}}\n"
    ).jobs
    assert job.request.micro == MicroConditioning((600, 1000), (8, 16), (7, 7), 5)


def test_pictures_and_refiners_are_axes_of_a_matrix(manifest, facts, pictures):
    (pictures / "other.png").write_bytes((pictures / "mask.png").read_bytes())
    body = (
        P + "}\nmatrix:\n  init_image: [in/picture.png, in/other.png]\n"
        "  refiner:\n    - none\n    - {model: bundles/xl-refiner, switch_at: 0.7}\n"
        '    - {label: late, value: {model: bundles/xl-refiner, switch_at: 0.9}}\noutput: "{init_image}/{refiner}.png"\n'
    )
    read = manifest(body)
    assert set(read.models) == {"demo", "bundles/xl-refiner"}
    bundles = {"demo": facts, "bundles/xl-refiner": replace(facts, hash="d" * 64)}
    plan = build_plan(read, bundles, {}, lambda: 7)
    assert [job.request.refiner and job.request.refiner.switch_at for job in plan.jobs] == [None, 0.7, 0.9] * 2
    assert plan.jobs[1].request.refiner.sha256 == "d" * 64
    assert len({str(job.output) for job in plan.jobs}) == 6


MISTAKES = {
    "init_image: gone.png": "init_image gone.png does not exist; paths start at the folder of the file they stand in",
    "init_image: m.yaml": "init_image m.yaml is not a picture that can be read",
    "mask_image: [a, b]": "mask_image is a list; it must be text",
    "strength: 1.5": "strength is '1.5'; it must be a number above 0, from 0.000001 to 1",
    "strength: 0": "strength is '0'; it must be a number above 0, from 0.000001 to 1",
    "clip_skip: 1.5": "clip_skip is '1.5'; it must be a whole number of layers",
    "clip_skip: -1": "clip_skip is '-1'; it must be",
    "eta: 1.5": "eta is '1.5'; it must be a number from 0 to 1",
    "guidance_rescale: 2": "guidance_rescale is '2'; it must be a number from 0 to 1",
    "refiner: {switch_at: 0.8}": "refiner has no model; write {model: bundles/sdxl-refiner, switch_at: 0.8}",
    "refiner: {model: x, switch_at: 1}": "switch_at is '1'; it must be a share of the steps that the base runs, from",
    "refiner: {model: x, swich_at: 0.8}": "unknown key 'swich_at' in refiner; did you mean 'switch_at'?",
    "refiner: ''": "refiner is empty; write the path of an SDXL refiner's bundle",
    "micro_conditioning: 3": "micro_conditioning is '3'; write {original_size: 1024x1024}",
    "micro_conditioning: {crop_top_left: 3}": "crop_top_left is '3'; write it as [top, left]",
    "micro_conditioning: {original_size: wide}": "original_size is 'wide'; write it as 512x512",
    "micro_conditioning: {aesthetic: 3}": "unknown key 'aesthetic' in micro_conditioning; did you mean 'aesthetic_score'?",
    "prompt_weighting: a111": "prompt_weighting is 'a111'; did you mean 'a1111'?",
    "guidance_stop: 1.5": "guidance_stop is '1.5'; it must be a fraction of the steps from 0 to 1",
    "long_prompts: chunk": "long_prompts is 'chunk'; did you mean 'chunks'?",
    "prompt_weighting: 5": "prompt_weighting is '5'; it must be one of none, a1111, compel",
    "init_imag: x.png": "unknown key 'init_imag' in defaults; did you mean 'init_image'?",
}


@pytest.mark.parametrize("fields", MISTAKES)
def test_a_mistake_is_named_where_it_stands(fields, manifest):
    with pytest.raises(ManifestError) as caught:
        manifest(P + f", {fields}}}\n")
    (problem,) = caught.value.problems
    assert problem.startswith("m.yaml:4:")
    assert MISTAKES[fields] in problem


REFUSED = {
    ", mask_image: in/mask.png": "wrong.yaml:4:41: mask_image is given without init_image; name the picture",
    ", init_image: in/picture.png, strength: 0.01": "wrong.yaml:4:67: strength 0.01 of 30 steps leaves none to run",
    ", clip_skip: 5": "wrong.yaml:4:40: clip_skip is 5; this bundle's text encoders can leave out at most 2 layers",
    ", refiner: ./BUNDLE": "wrong.yaml:4:38: bundle checkpoint is of family sd1, and a refiner continues SDXL's",
    ", refiner: nowhere": "wrong.yaml:4:38: nowhere: not a bundle, bundle.json cannot be read",
    ", steps: 1001": "wrong.yaml:4:36: steps is '1001'; it must",
}


@pytest.mark.parametrize("fields", REFUSED)
def test_what_the_bundle_cannot_do_is_refused_before_it_costs(fields, assets, tmp_path, pictures, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "BUNDLE").symlink_to(assets / "bundle")
    (tmp_path / "wrong.yaml").write_text("version: 1\nname: wrong\nmodel: BUNDLE\n" + P + fields + "}\n")
    assert run_cli(["render", "wrong.yaml", "-o", "out"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert REFUSED[fields] in said.err
    assert not (tmp_path / "out").exists()


def test_a_base_and_its_refiner_render_from_one_manifest(exported, tmp_path, pictures, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("sdxl", "refiner"):
        (tmp_path / name).symlink_to(exported(name).path)
    (tmp_path / "two.yaml").write_text(
        "version: 1\nname: two\nmodel: sdxl\n"
        "defaults: {prompt: a mouse, sampler: euler, steps: 4, size: 64x64, clip_skip: 1}\n"
        "jobs:\n  - {id: plain}\n  - {id: refined, refiner: {model: refiner, switch_at: 0.5}}\n"
        '  - {id: given, init_image: in/picture.png, strength: 0.5}\noutput: "{id}.png"\n'
    )
    assert run_cli(["render", "two.yaml", "-o", "out"]) == 0
    assert "3 rendered" in capsys.readouterr().out
    texts = {name: Image.open(f"out/{name}.png").text for name in ("plain", "refined", "given")}
    own = {name: json.loads(text["latentpress"]) for name, text in texts.items()}
    refiner = exported("refiner").bundle
    assert own["refined"]["refiner"]["content"] == facts_of({"refiner": refiner})["refiner"].content
    assert "sha256" not in own["refined"]["request"]["refiner"], "two exports of it may differ in that alone"
    assert "refiner" not in own["plain"]
    assert "path" not in json.dumps(own["given"]["request"])
    assert ", Refiner switch at: 0.5" in texts["refined"]["parameters"]
    assert ", Denoising strength: 0.5" in texts["given"]["parameters"]
    # A1111 counts the layer it stops at, from 1.
    assert ", Clip skip: 2" in texts["plain"]["parameters"]
    assert run_cli(["render", "two.yaml", "-o", "out"]) == 0
    assert "0 rendered, 3 already done" in capsys.readouterr().out
