"""Several bundles in one manifest: a model is a field like any other, and each bundle's pictures are rendered together."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from latentpress.batch.executors import local
from latentpress.batch.folder import OutputFolder
from latentpress.batch.ledger.ledger import Ledger, ledger_path
from latentpress.errors import EnvironmentFailure, LatentpressError, ManifestError, UsageError
from latentpress.models import Models, models_for
from latentpress.runtime.request import Origin, Refiner, RenderRequest

TWO = (
    "defaults: {prompt: a mouse}\nmatrix:\n  model: [demo, {label: second, value: bundles/other}]\n  seed: 1..3\n"
    'output: "{model}/{seed}.png"\n'
)


@pytest.fixture
def two(manifest, facts, tmp_path):
    """two(executor, body) renders such a manifest on two fake bundles into tmp_path/out."""
    known = {"demo": facts, "bundles/other": replace(facts, hash="d" * 64, name="other", default_size=(32, 32))}

    def run(executor, body=TWO):
        return OutputFolder(manifest(body), tmp_path / "out", models=Models({}, known)).render(executor=executor)

    return run


class Recording:
    """Notes what is opened and what is rendered on it."""

    def __init__(self, inner):
        self.inner, self.opened = inner, []

    def open(self, bundle, requests):
        self.opened.append((bundle[0], [request.seed for request in requests], 0))
        return self.inner.open(bundle, requests)

    def render(self, requests):
        work = list(requests)
        bundle, seeds, count = self.opened[-1]
        self.opened[-1] = bundle, seeds, count + len(work)
        return self.inner.render(work)


def test_an_axis_of_models_renders_each_on_its_own(two, new_executor, tmp_path):
    executor = Recording(new_executor())
    assert two(executor).summary.done == 6
    assert executor.opened == [("c", [1, 2, 3], 3), ("d", [1, 2, 3], 3)]
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png")) == [
        *(f"demo/{seed}.png" for seed in (1, 2, 3)),
        *(f"second/{seed}.png" for seed in (1, 2, 3)),
    ]
    for folder, name, size in (("demo", "fake", (64, 64)), ("second", "other", (32, 32))):
        with Image.open(tmp_path / "out" / folder / "1.png") as picture:
            assert picture.size == size
            assert f", Model: {name}, " in picture.text["parameters"]
            assert json.loads(picture.text["latentpress"])["bundle"]["name"] == name
    executor = Recording(new_executor())
    assert two(executor).summary.skipped == 6
    assert executor.opened == [], "nothing to open where nothing is left"


def test_a_bundle_added_later_renders_its_own_pictures_alone(two, new_executor):
    two(new_executor(), TWO.replace(", {label: second, value: bundles/other}", ""))
    executor = Recording(new_executor())
    assert two(executor).summary.done == 3
    assert [bundle for bundle, _, _ in executor.opened] == ["d"]


def test_pictures_say_what_they_were_made_on_each_for_itself(two, new_executor, tmp_path):
    executor = new_executor()
    executor.origin = Origin("openvino-bf16", 4, "any", "some CPU", "latentpress 9")
    two(executor)
    with Ledger(ledger_path(tmp_path / "out")) as ledger:
        kept = ledger.answers("SELECT DISTINCT provider, batch_rows, device, versions FROM images")
    assert kept == [("openvino-bf16", 4, "some CPU", "latentpress 9")]
    with Image.open(tmp_path / "out" / "demo" / "1.png") as picture:
        assert "some CPU" not in str(picture.text)
        assert json.loads(picture.text["latentpress"])["engine"] == "openvino:bf16"


def test_a_row_rule_that_the_folder_does_not_have_is_refused_before_a_picture(two, new_executor, tmp_path):
    two(new_executor(), TWO.replace("1..3", "1..2"))
    executor = new_executor()
    executor.origin = Origin("fake", 8, "8")
    with pytest.raises(UsageError, match="2 pictures were rendered with any number"):
        two(executor)
    assert executor.rendered == []


def test_a_bundle_that_cannot_be_opened_is_named_where_it_stands(manifest, tmp_path):
    read = manifest("defaults: {prompt: a}\nmatrix: {model: [nowhere, gone]}\n")
    with pytest.raises(ManifestError) as caught:
        models_for(read, tmp_path / "cache", verify=False)
    assert [problem.split(": not a bundle")[0] for problem in caught.value.problems] == [
        "m.yaml:5:18: nowhere",
        "m.yaml:5:27: gone",
    ]


def test_a_model_is_called_by_its_folders_name(two, new_executor, tmp_path):
    body = TWO.replace("{label: second, value: bundles/other}", "bundles/other").replace(
        "a mouse", '"a mouse, {model}"'
    )
    body = body.replace(
        "seed: 1..3", "seed: 1..3\n  exclude: [{model: other, seed: 1}, {model: bundles/other, seed: 2}]"
    )
    assert two(new_executor(), body).summary.done == 4
    assert [path.name for path in (tmp_path / "out" / "other").glob("*.png")] == ["3.png"]
    with Image.open(tmp_path / "out" / "other" / "3.png") as picture:
        assert picture.text["parameters"].startswith("a mouse, other\n")


def test_a_folder_called_demo_is_not_the_built_in_model(manifest):
    assert set(manifest("defaults: {prompt: a}\nmatrix: {model: [demo, ./demo]}\n").models) == {"demo", "./demo"}


class Failing:
    def __init__(self, inner, error=None, count=None):
        self.inner, self.error, self.count = inner, error, count

    def open(self, bundle, requests):
        if self.error:
            raise self.error
        return "any"

    def render(self, requests):
        yield from list(self.inner.render(requests))[: self.count]


def test_what_cannot_be_opened_leaves_no_folder(two, new_executor, tmp_path):
    with pytest.raises(EnvironmentFailure, match="no such GPU"):
        two(Failing(new_executor(), EnvironmentFailure("no such GPU")))
    assert not (tmp_path / "out").exists()


def test_pictures_that_never_come_are_missed(two, new_executor):
    with pytest.raises(LatentpressError, match=r"the executor ended without this picture, and 1 other$"):
        two(Failing(new_executor(), count=1))


def test_a_refiner_that_is_named_late_is_opened_too(monkeypatch, tmp_path):
    opened = []

    class Opened:
        warning = fixed_rows = None
        row_rule = "any"

        def __init__(self, bundle, *, refiners, **settings):
            opened.append((bundle, refiners))

        def add_time(self, *measured):
            pass

        def timings(self):
            return {}

    monkeypatch.setattr(local, "_LOOKED_AT", 2)
    monkeypatch.setattr("latentpress.runtime.render.Renderer", Opened)
    monkeypatch.setattr("latentpress.runtime.bucket.note_calibration", lambda *_: None)
    monkeypatch.setattr("latentpress.runtime.timings.remember_timings", lambda *_: None)
    plain = RenderRequest("a", 0, 64, 64, "euler", 2, 5.0)
    late = replace(plain, refiner=Refiner("r", 0.8))
    executor = local.LocalExecutor(
        {"b": "base", "r": "refiner", "o": "other"}, local.Settings(batch_rows=4), tmp_path, print
    )
    executor.open("b", [plain, plain, plain, late])
    executor.open("b", [plain, plain])
    assert opened == [("base", ("refiner",)), ("base", ())]
