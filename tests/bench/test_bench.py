"""A whole benchmark of the small bundle: components, scenarios, what does not fit, reports and history."""

import json
import time

import numpy as np
import pytest
from PIL import Image

from latentpress.bench.ceiling import Ceiling, cpu_ceiling
from latentpress.bench.history import alike, history_lines, keep_run, kept_runs, save_history
from latentpress.bench.jobs import Work
from latentpress.bench.measure import Bench, Settings
from latentpress.bench.report import benchmark_data, benchmark_lines, save_plot
from latentpress.engines.cpu import CPU, OnnxCpuSession
from latentpress.engines.engine import EngineChoice
from latentpress.errors import EnvironmentFailure
from published import read


def sessions_of(bundle):
    names = [encoder.component for encoder in bundle.info.text_encoders] + ["unet", "vae_decoder"]
    return {name: OnnxCpuSession(bundle.file(f"{name}.onnx")) for name in names}


def measure(bundle, buckets=(1, 2, 4), sessions=None, ceiling=lambda shapes: None, jobs=("plain",), seconds=0.01):
    settings = Settings(Work(64, 64, "euler", 3, 4.0), list(buckets), 4, seconds, jobs, every_bucket=True)
    bench = Bench(
        bundle,
        sessions or sessions_of(bundle),
        choice=EngineChoice(CPU),
        device="this CPU",
        yardstick=lambda: None,
        ceiling=ceiling,
    )
    return bench.run(settings)


@pytest.fixture(scope="module")
def ceiling():
    return Ceiling("this CPU", 5e12, "invented")  # above any CPU: the highest one given is the one that counts


@pytest.fixture(scope="module")
def found(bundle, ceiling):
    ceilings = iter([cpu_ceiling("this CPU", size=64, seconds=0), ceiling])
    return measure(bundle, ceiling=lambda shapes: next(ceilings), jobs=("plain", "guided", "img2img"))


def test_every_component_is_timed_at_every_bucket(found, ceiling):
    assert [(row.component, row.rows) for row in found.components] == [
        (component, rows) for rows in (1, 2, 4) for component in ("text_encoder", "unet", "vae_decoder")
    ]
    assert found.ceiling == ceiling
    unet = {row.rows: row for row in found.components if row.component == "unet"}
    assert unet[4].gflops == pytest.approx(4 * unet[1].gflops, rel=1e-3)
    for row in found.components:
        assert row.figure.calls == len(row.values) == len(row.yardstick) == 4
        assert row.figure.median == np.median(row.values)
        assert row.cold > 0
        assert sum(row.operations.values()) == pytest.approx(1)
        assert row.share == pytest.approx(row.gflops * 1e9 / (row.figure.median / 1000) / ceiling.flops)
    assert unet[4].operations.keys() == {"convolution", "product"} or "attention" in unet[4].operations


def test_whole_pictures_are_timed_in_both_scenarios(found):
    shown = [(one.scenario, one.job, one.rows) for one in found.scenarios]
    assert shown == [
        (scenario, job, rows)
        for job in ("plain", "guided", "img2img")
        for scenario, rows in (("SingleStream", 2), ("Offline", 1), ("Offline", 2), ("Offline", 4))
    ]
    for one in found.scenarios:
        assert len(one.values) == len(one.yardstick) == one.figure.calls >= 3
        assert one.images_per_second > 0
        assert 0 < one.outside_unet < 1
        assert (one.cold is not None) == (one.scenario == "SingleStream")
        assert one.figure.p90 is None, "so few calls carry no percentile"
    slower = {one.job: one.figure.median for one in found.scenarios if one.scenario == "SingleStream"}
    assert slower["guided"] > slower["img2img"], "a gradient costs more than a step left out"
    assert 50e6 < found.peak_memory < 50e9


class Slow:
    """The session it is given, each call 30 ms longer."""

    def __init__(self, session):
        self.session, self.engine, self.note = session, session.engine, session.note

    def run(self, inputs):
        time.sleep(0.03)
        return self.session.run(inputs)


def test_pictures_are_bounded_by_the_unets_calls(bundle):
    sessions = sessions_of(bundle)
    found = measure(bundle, (2, 4), sessions={**sessions, "unet": Slow(sessions["unet"])})
    for one in found.scenarios:
        calls = 3 * 2 / one.rows  # three steps, two rows a picture
        assert one.images_per_second < 1 / (0.03 * calls)
        if one.scenario == "SingleStream":
            assert one.figure.least > 90, "milliseconds"
    assert all(row.figure.least >= 30 for row in found.components if row.component == "unet")


def test_a_bucket_of_one_row_calls_the_unet_with_one(bundle):
    rows = []

    class Watched:
        def __init__(self, session):
            self.session, self.engine, self.note = session, session.engine, session.note

        def run(self, inputs):
            rows.append(len(inputs["sample"]))
            return self.session.run(inputs)

    sessions = sessions_of(bundle)
    measure(bundle, (1,), sessions={**sessions, "unet": Watched(sessions["unet"])}, seconds=0)
    assert set(rows) == {1}


def test_a_benchmark_as_lines_json_and_a_plot(found, tmp_path):
    assert read("bench", json.dumps(benchmark_data(found)))["components"][1]["component"] == "unet"
    text = "\n".join(benchmark_lines(found))
    assert "64x64, euler, 3 steps, guidance 4" in text
    assert "Offline, guided, images/s" in text
    save_plot(found, tmp_path / "bench.png")
    with Image.open(tmp_path / "bench.png") as picture:
        assert np.unique(np.asarray(picture)).size > 10, "something is drawn"


class Full:
    """The session it is given, out of memory beyond `fits` rows."""

    def __init__(self, session, fits):
        self.session, self.fits = session, fits
        self.engine, self.note = session.engine, session.note

    def run(self, inputs):
        if len(inputs["sample"]) > self.fits:
            raise RuntimeError("Failed to allocate memory for requested buffer")
        return self.session.run(inputs)


def test_a_bucket_that_does_not_fit_is_said_and_ends_it(bundle):
    sessions = sessions_of(bundle)
    sessions["unet"] = Full(sessions["unet"], fits=2)
    found = measure(bundle, (2, 4, 8), sessions=sessions, seconds=0)
    assert {row.rows for row in found.components} == {2}
    assert found.notes == ["4 rows do not fit into memory; larger buckets were not tried"]
    with pytest.raises(EnvironmentFailure, match="4 rows at 64x64 do not fit into memory"):
        measure(bundle, (4, 8), sessions=sessions)


def test_a_model_that_needs_a_picture_has_its_components_measured(exported):
    bundle = exported("inpainting").bundle
    found = measure(bundle, (1,))
    assert [row.component for row in found.components] == ["text_encoder", "unet", "vae_decoder"]
    assert found.scenarios == []
    assert "no whole pictures, plain: " in found.notes[0]
    assert "is an inpainting model" in found.notes[0]


def test_a_history_keeps_each_run_and_the_next_is_compared_with_it(found, tmp_path):
    run = benchmark_data(found)
    first = keep_run(tmp_path, run)
    slow = {
        **run,
        "components": [{**one, "values": [2 * value for value in one["values"]]} for one in run["components"]],
    }
    other = {**run, "threads": 7}
    assert [keep_run(tmp_path, one).stem.removeprefix(first.stem) for one in (slow, other)] == ["-1", "-2"]
    runs = kept_runs(tmp_path)
    assert [path for path, _ in alike(run, runs)] == [first, first.with_stem(f"{first.stem}-1")]
    assert json.loads(json.dumps(run)) == runs[0][1]
    assert len(list(history_lines(runs))) == 3
    save_history(runs, tmp_path / "history.png")
    assert (tmp_path / "history.png").stat().st_size > 1000
