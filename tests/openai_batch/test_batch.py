"""A Batch file made of the client's own types is rendered, and its answers are read back with the client's own types."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from openai.types import ImageEditParams, ImageGenerateParams, ImagesResponse
from PIL import Image

from fakes import FakeExecutor, fake_facts
from latentpress.batch.folder import OutputFolder
from latentpress.errors import UsageError
from latentpress.manifest.manifest import read_manifest
from latentpress.manifest.nodes import Place, Scalar
from latentpress.manifest.openai.pictures import Pictures
from latentpress.manifest.source import Source
from latentpress.models import Models
from latentpress.openai_batch.run import Batch, run_batch

GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("uploads").mkdir()
    Image.new("RGB", (64, 64), (200, 30, 30)).save("red.png")
    Image.new("RGB", (64, 64), (30, 30, 200)).save("uploads/file-abc.png")


def mask():
    """A data: URL of a mask whose left half is transparent."""
    picture = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
    picture.paste((9, 9, 9, 0), (0, 0, 32, 64))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def request(custom_id, url, body):
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def write(*requests, name="batch.jsonl"):
    Path(name).write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in requests))


def good():
    kite: ImageGenerateParams = {
        "prompt": "a red kite",
        "n": 3,
        "size": "64x64",
        "model": "gpt-image-1.5",
        "quality": "low",
    }
    owl: ImageGenerateParams = {"prompt": "an owl", "size": "auto", "output_format": "webp"}
    edit: ImageEditParams = {"prompt": "a blue heart", "image": "red.png", "mask": mask()}  # type: ignore[typeddict-item]
    upload = {"prompt": "a heart", "images": [{"file_id": "file-abc"}], "seed": 5, "response_format": "url"}
    vary = {"image": "red.png", "n": 2}
    urls = (GENERATIONS, GENERATIONS, EDITS, EDITS, "/v1/images/variations")
    ids = ("kite", "owl", "edit", "upload", "vary")
    return [request(*one) for one in zip(ids, urls, (kite, owl, edit, upload, vary), strict=True)]


def go(executor=None):
    executor = executor or FakeExecutor()
    models = Models({}, {"demo": fake_facts()})
    answered = run_batch(
        Batch.on(Source.of(Path("batch.jsonl")), "demo", Path("uploads")),
        Path("out"),
        lambda folder: folder.render(executor=executor),
        lambda manifest, path: OutputFolder(manifest, path, models=models),
    )
    return answered, executor


def lines(name):
    return [json.loads(line) for line in Path("out", name).read_text().splitlines()]


def test_generations_and_edits_are_answered_as_the_client_reads_them():
    write(*good())
    answered, _ = go()
    assert (answered.completed, answered.failed, answered.errors) == (5, 0, None)
    told = lines("output.jsonl")
    assert [one["custom_id"] for one in told] == ["kite", "owl", "edit", "upload", "vary"]
    assert all(one["error"] is None and one["response"]["status_code"] == 200 for one in told)
    bodies = {one["custom_id"]: ImagesResponse.model_validate(one["response"]["body"]) for one in told}
    assert [len(body.data) for body in bodies.values()] == [3, 1, 1, 1, 2]
    kept = {np.asarray(Image.open(path)).tobytes() for path in Path("out").glob("*.png")}
    seen = set()
    for name in ("kite", "edit", "vary"):
        for image in bodies[name].data:
            seen.add(np.asarray(Image.open(io.BytesIO(base64.b64decode(image.b64_json)))).tobytes())
    assert len(seen) == 6
    assert seen < kept, "the very pixels of the PNGs"
    assert (bodies["kite"].size, bodies["kite"].output_format) == ("64x64", "png")
    assert Image.open(io.BytesIO(base64.b64decode(bodies["owl"].data[0].b64_json))).format == "WEBP"
    url = bodies["upload"].data[0].url
    assert url.startswith((Path("out").absolute() / "5-").as_uri())


def test_what_is_wrong_is_a_line_of_its_own_and_the_rest_is_rendered():
    wrong = {
        "n": ({"prompt": "x", "n": "2"}, "n", "n is '2'; it should be a valid integer"),
        "size": ({"prompt": "x", "size": "60x64"}, "size", "size is 60x64; both sides must be multiples of 8"),
        "key": (
            {"prompt": "x", "promt": "y"},
            "promt",
            "unknown key 'promt' in a request for /v1/images/generations; did",
        ),
        "concept": ({"prompt": "in <nowhere>"}, None, "<nowhere> in the prompt looks like a concept"),
        "steps": ({"prompt": "x", "steps": 0}, "steps", "steps is '0'; it must be"),
        "none": ({"n": 1}, "prompt", "prompt is missing; every request for /v1/images/generations has it"),
        "http": (
            {"prompt": "x", "image": "https://x.org/a.png"},
            "image",
            "image is 'https://x.org/a.png', and nothing is",
        ),
        "two": ({"prompt": "x", "image": ["red.png", "red.png"]}, "image", "image holds 2 pictures"),
        "opaque": ({"prompt": "x", "image": "red.png", "mask": "red.png"}, "mask", "mask is transparent nowhere"),
        "lost": ({"prompt": "x", "image": "lost.png"}, "image", "image is 'lost.png', which does not exist"),
        "data": ({"prompt": "x", "image": "data:image/png;base64,@"}, "image", "image is a data: URL whose base64"),
    }
    requests = [request(name, EDITS if "image" in body else GENERATIONS, body) for name, (body, _, _) in wrong.items()]
    write(good()[0], "not JSON", *requests, good()[0], request("nan", GENERATIONS, {"prompt": "nan"}))
    answered, _ = go()
    assert (answered.completed, answered.failed) == (1, len(wrong) + 3)
    assert [one["custom_id"] for one in lines("output.jsonl")] == ["kite"]
    first, *told, twice, failed = lines("errors.jsonl")
    assert (first["custom_id"], first["response"], first["error"]["line"]) == (None, None, 2)
    for one, (name, (_, param, message)) in zip(told, wrong.items(), strict=True):
        error = one["response"]["body"]["error"]
        assert (one["custom_id"], one["response"]["status_code"], error["param"]) == (name, 400, param)
        assert (error["type"], error["message"][: len(message)]) == ("invalid_request_error", message)
    assert twice["response"]["body"]["error"]["code"] == "duplicate_custom_id"
    assert failed["response"]["status_code"] == 500
    assert failed["response"]["body"]["error"]["message"] == "the latents became NaN"


def test_a_batch_that_was_cut_off_is_finished_with_the_same_seeds():
    write(*good())
    with pytest.raises(KeyboardInterrupt):
        go(FakeExecutor(crash_after=4))
    _, rest = go()
    assert len(rest.rendered) <= 8
    before = Path("out/output.jsonl").read_bytes()
    _, again = go()
    assert again.rendered == []
    assert Path("out/output.jsonl").read_bytes() == before


def test_a_file_of_ones_own_is_not_written_over():
    write(*good())
    Path("out").mkdir()
    Path("out/output.jsonl").write_text("mine\n")
    with pytest.raises(UsageError, match=r"out/output.jsonl: is there, and is no answer to a batch; move it"):
        go()


def test_a_masks_transparent_part_is_what_ours_has_white():
    pictures = Pictures(Path(), None)  # its files stay for as long as it does
    found = pictures.mask(Scalar(mask(), False, Place("batch.jsonl", 1, 1)))
    expected = np.zeros((64, 64), np.uint8)
    expected[:, :32] = 255
    assert (np.asarray(Image.open(found)) == expected).all()


def test_a_manifest_names_a_batch():
    write(*good())
    Path("m.yaml").write_text(
        "version: 1\nmodel: demo\ndefaults: {steps: 3}\njobs: [{from: batch.jsonl, files: uploads, sampler: lms}]\n"
    )
    manifest = read_manifest("m.yaml")
    assert [
        (draft.id, seed, draft.values["steps"], draft.values["sampler"]) for draft, seed, _ in manifest.drafts()
    ] == [
        (name, seed, 3, "lms")
        for name, seeds in (("kite", (0, 1, 2)), ("owl", (0,)), ("edit", (0,)), ("upload", (5,)), ("vary", (0, 1)))
        for seed in seeds
    ]


PLAIN = [
    *(
        "a {red|blue} kite",
        "{style}",
        "100% {",
        "} and {{x}}",
        "__color__ {2$$a|b}",
        r"\__color__ a\|b",
        "{seed:04} ${x=y}",
    ),
    "(kite:1.2) [a|b]",
]


@pytest.mark.parametrize("settings", ["", "defaults: {negative_prompt: 'a {x|y} __color__ {z}'}\nwildcards: words\n"])
def test_a_prompt_is_the_text_that_it_is(settings):
    Path("words").mkdir()
    Path("words/color.txt").write_text("red\nblue\n")
    bodies: list[ImageGenerateParams] = [{"prompt": text} for text in PLAIN]
    write(*(request(f"r{number}", GENERATIONS, body) for number, body in enumerate(bodies)))
    Path("s.yaml").write_text("version: 1\nmodel: demo\n" + settings)
    models = Models({}, {"demo": fake_facts()})
    executor = FakeExecutor()
    folders = []

    def opened(manifest, path):
        folders.append(OutputFolder(manifest, path, models=models))
        return folders[-1]

    batch = Batch(Source.of(Path("batch.jsonl")), Source.of(Path("s.yaml")))
    answered = run_batch(batch, Path("out"), lambda folder: folder.render(executor=executor), opened)
    assert (answered.completed, answered.failed) == (len(PLAIN), 0)
    plan = folders[-1].plan()
    assert [job.request.prompt for job in plan.jobs] == PLAIN
    assert {job.request.negative_prompt for job in plan.jobs} <= {"", "a {x|y} __color__ {z}"}
    told = "\n".join(plan.warnings)
    assert "wildcards" not in told
    assert "'(kite:1.2)' in the prompt is taken as characters; `prompt_weighting: a1111` reads it as a weight" in told
    with Image.open("out" / plan.jobs[0].output) as picture:
        assert picture.text["parameters"].startswith("a {red|blue} kite\n")


def test_a_negative_prompt_in_the_extra_body_is_plain_too():
    write(request("a", GENERATIONS, {"prompt": "x", "negative_prompt": "{red|blue} {style}"}))
    Path("m.yaml").write_text("version: 1\nmodel: demo\njobs: [{from: batch.jsonl}]\n")
    (draft,) = [draft for draft, _, _ in read_manifest("m.yaml").drafts()]
    assert draft.values["negative_prompt"] == "{red|blue} {style}"


def test_a_variation_takes_what_the_other_endpoints_take():
    body = {"image": "red.png", "size": "128x64", "output_format": "webp", "quality": "low"}
    write(
        request("edit", EDITS, body | {"prompt": "x"}),
        request("vary", "/v1/images/variations", body),
        request("auto", "/v1/images/variations", {"image": "red.png", "size": "auto"}),
        request("bad", "/v1/images/variations", {"image": "red.png", "size": "60x64"}),
        request("none", "/v1/images/variations", {"size": "64x64"}),
    )
    answered, _ = go()
    assert (answered.completed, answered.failed) == (3, 2)
    sizes = [ImagesResponse.model_validate(one["response"]["body"]).size for one in lines("output.jsonl")]
    assert sizes == ["128x64", "128x64", "64x64"]
    said = [one["response"]["body"]["error"]["message"] for one in lines("errors.jsonl")]
    assert said[0].startswith("size is 60x64; both sides must be multiples of 8")
    assert said[1] == "image is missing; every request for /v1/images/variations has it"
