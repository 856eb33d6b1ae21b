"""The public Python face: what it exports, that importing it costs nothing, and that its examples run."""

import doctest
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import latentpress
from latentpress.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent
PUBLIC = [
    *(
        "Again",
        "Bundle",
        "BundleError",
        "CheckpointError",
        "ConceptError",
        "EngineChoice",
        "EnvironmentFailure",
        "Executor",
    ),
    *("Job", "LatentpressError", "LoraError", "Manifest", "ManifestError", "Origin", "Outcome", "OutputFolder"),
    *("OutputLocked", "ParityError", "Plan", "RenderRequest", "Rendered", "Settings", "Sources", "Status", "Summary"),
    *("UsageError", "__version__", "export_bundle", "open_bundle", "read_manifest", "render_picture"),
    *("render_pictures", "rerender_pictures"),
]


def test_what_is_public_is_what_is_said_to_be() -> None:
    assert latentpress.__all__ == PUBLIC, "a new name is a promise: write it down here, in docs/python.md and CHANGELOG"
    for name in PUBLIC:
        value = getattr(latentpress, name)
        assert name == "__version__" or inspect.getdoc(value), name
    page = (ROOT / "docs" / "python.md").read_text()
    functions = [name for name in PUBLIC if inspect.isfunction(getattr(latentpress, name))]
    assert functions
    assert not [name for name in functions if f"{name}(" not in page]
    with pytest.raises(AttributeError, match="no attribute 'rendr'"):
        _ = latentpress.rendr


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, latentpress; print([n for n in sys.modules if n.startswith('latentpress')], 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['latentpress.version', 'latentpress'] False"


def test_the_examples_of_the_docstrings_run(demo_cache, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("LATENTPRESS_CACHE", str(demo_cache))
    monkeypatch.chdir(tmp_path)
    failed, tried = 0, 0
    for name in ("pictures", "batch.folder", "manifest.manifest"):
        found = doctest.testmod(importlib.import_module(f"latentpress.{name}"), optionflags=doctest.ELLIPSIS)
        failed, tried = failed + found.failed, tried + found.attempted
    assert (failed, tried > 8) == (0, True)


def test_a_picture_is_the_manifests(bundle, assets, tmp_path) -> None:
    fields = {"seed": 41, "sampler": "DPM++ 2M Karras", "steps": 3, "size": "64x64", "guidance_scale": 4}
    loss = {"name": "channel", "channel": "red", "scale": 20, "every": 1}
    jobs = [{"prompt": "a mouse in the style of <line-art>", **fields}, {"prompt": "a house", **fields, "loss": loss}]
    shown = list(latentpress.render_pictures(bundle, jobs))
    path = tmp_path / "two.yaml"
    path.write_text(json.dumps({"version": 1, "model": str(assets / "bundle"), "jobs": jobs, "output": "{index}.png"}))
    folder = latentpress.OutputFolder(latentpress.read_manifest(path), tmp_path / "out")
    assert folder.render().summary == latentpress.Summary(2, 0, 0)
    for index, picture in enumerate(shown, 1):
        with Image.open(tmp_path / "out" / f"{index}.png") as written:
            assert (np.asarray(written) == np.asarray(picture)).all()
            assert written.text == picture.info


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "steps is '0'; it must be a whole number from 1 to 1000"),
        ({"sede": 1}, "unknown key 'sede' in the keywords; did you mean 'seed'?"),
        ({"seed": "1..3"}, "seed is '1..3'; a picture has one seed, from 0 to 2^64-1"),
        ({"seed": -1}, "seed is '-1'; a picture has one seed"),
        ({"size": (64, 60)}, "size is 64x60; both sides must be multiples of 8, e.g. 64x64"),
        ({"loss": {"name": "cany"}}, "unknown loss 'cany'; did you mean 'canny'?"),
        ({"eta": 0.5}, "only ddim and tcd take it"),
        ({"prompt": "a <lime-art>"}, "<lime-art> in the prompt looks like a concept"),
        ({"loss": object()}, "loss is of type object; give text, a number, a path, a list or a dict"),
        ({"prompt": None}, "prompt is missing; it must be text"),
    ],
)
def test_a_wrong_keyword_gets_its_sentence(fields, message, bundle) -> None:
    with pytest.raises(UsageError) as caught:
        list(latentpress.render_pictures(bundle, [{"prompt": "a mouse", **fields}]))
    assert message in str(caught.value)
    assert ":1:1:" not in str(caught.value)


def test_jobs_that_are_no_dicts_and_numbers_that_are_numpys(bundle) -> None:
    with pytest.raises(UsageError, match="picture 2: the fields are of type str; give a dict"):
        list(latentpress.render_pictures(bundle, [{"prompt": "a mouse"}, "a house"]))
    fields = {"prompt": "a mouse", "steps": np.int64(1), "guidance_scale": np.float32(2.5), "loss": None}
    (picture,) = latentpress.render_pictures(bundle, [fields | {"size": 64}])
    assert "\nSteps: 1, Sampler: Euler, CFG scale: 2.5, Seed: 0," in picture.info["parameters"]


def test_pythons_text_is_text_and_its_none_is_not_given(bundle) -> None:
    fields = {"steps": 1, "size": 64, "loss": {"name": "canny", "scale": None, "low": None}}
    jobs = [{"prompt": word, "negative_prompt": word, **fields} for word in ("null", "true", "~")]
    for picture, job in zip(latentpress.render_pictures(bundle, jobs), jobs, strict=True):
        word = job["prompt"]
        assert picture.info["parameters"].startswith(f"{word}\nNegative prompt: {word}\n")
    with pytest.raises(UsageError, match="negative_prompt is true, which YAML takes for a truth value"):
        latentpress.render_picture(bundle, "a mouse", negative_prompt=True)


def test_prompts_are_taken_as_they_are(bundle, tmp_path) -> None:
    texts = {"prompt": "a {red|blue} {{owl}} __color__ {seed", "negative_prompt": "{~a|b} 凧"}
    picture = latentpress.render_picture(bundle, **texts, steps=1, size=64)
    assert picture.info["parameters"].startswith(f"{texts['prompt']}\nNegative prompt: {texts['negative_prompt']}\n")
    (tmp_path / "prompts.txt").write_text("an owl\na kite\n")
    with pytest.raises(UsageError, match="picture 1: the file of prompt comes to several texts; a picture has one"):
        latentpress.render_picture(bundle, {"file": tmp_path / "prompts.txt"}, steps=1)
    (tmp_path / "prompts.txt").write_text("a {~red|blue} owl\n")
    with pytest.raises(UsageError, match="the file of negative_prompt comes to several texts"):
        latentpress.render_picture(bundle, "an owl", negative_prompt={"file": tmp_path / "prompts.txt"}, steps=1)
    with pytest.raises(UsageError, match="the file of prompt comes to several texts"):
        latentpress.render_picture(bundle, {"file": tmp_path / "prompts.txt"}, steps=1)


def test_settings_are_checked_and_take_an_engines_name() -> None:
    assert str(latentpress.Settings("openvino:bf16").choice) == "openvino:bf16"
    assert latentpress.Settings().choice is None
    with pytest.raises(UsageError, match="engine 'openvno' is unknown; did you mean 'openvino'"):
        _ = latentpress.Settings("openvno").choice
    with pytest.raises(UsageError, match="batch_rows is 0; it must be at least 1"):
        latentpress.Settings(batch_rows=0)


def test_an_outcome_still_tells_its_plan(bundle, assets, tmp_path) -> None:
    path = tmp_path / "one.yaml"
    jobs = [{"prompt": "a mouse", "steps": 1, "size": "64x64"}]
    path.write_text(json.dumps({"version": 1, "model": str(assets / "bundle"), "jobs": jobs}))
    outcome = latentpress.OutputFolder(path, tmp_path / "out").render(latentpress.Settings("cpu", batch_rows=2))
    assert [job.request.prompt for job in outcome.plan.jobs] == ["a mouse"]
    assert outcome.plan.distinct == 1


def test_the_notebook_runs(demo_cache, monkeypatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("LATENTPRESS_CACHE", str(demo_cache))
    notebook = nbformat.read(ROOT / "examples" / "five_styles.ipynb", as_version=4)
    settings = next(cell for cell in notebook.cells if "STEPS = 50" in cell.source)
    settings.source = settings.source.replace("STEPS = 50", "STEPS = 6")
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == len(set(pictures)) == 4, (
        "plain, Canny, blue and a loss of its own, and no two of them alike"
    )
    assert "\nSteps: 6, Sampler: LMS" in outputs[-1]["text"]
