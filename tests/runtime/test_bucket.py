"""The bucket of a run: calibrated once, remembered by what it depends on, left alone where it would not pay."""

import json
import stat
from dataclasses import replace

import pytest

from latentpress.bundle.info import Bundle
from latentpress.engines.choice import DEFAULT_ENGINE
from latentpress.runtime import bucket
from latentpress.runtime.bucket import DEFAULT_ROWS, WORTH_ROWS, calibration_file, choose_rows
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest


def requests(count=100, size=64, steps=20):
    return [RenderRequest("a mouse", seed, size, size, "euler", steps, 5.0) for seed in range(count)]


class Clocked:
    """A renderer that takes `per_row` milliseconds a row on a clock of its own; out of memory beyond `fits` rows."""

    provider = "onnxruntime-cpu"
    engine = DEFAULT_ENGINE
    fixed_rows = None

    def __init__(self, bundle, clock, per_row, fits=10**9):
        self.bundle, self.clock, self.per_row, self.fits = bundle, clock, per_row, fits
        self.batch_rows = 1
        self.trials = []

    def trial(self, height, width):
        def call(rows):
            self.trials.append((rows, height, width))
            if rows > self.fits:
                raise RuntimeError("CUDA out of memory")
            self.clock[0] += self.per_row(rows) * rows / 1000

        return call


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("latentpress.runtime.calibrate.time.perf_counter", lambda: now[0])
    return now


@pytest.fixture(autouse=True)
def others(monkeypatch):
    """The share of the CPU time that other programs take while something is calibrated."""
    share = [0.0]
    monkeypatch.setattr("latentpress.runtime.calibrate.watch", lambda: lambda: share[0])
    return share


@pytest.fixture
def clocked(bundle, clock):
    return Clocked(bundle, clock, lambda rows: 1 + 8 / rows)


def test_a_run_is_calibrated_once_and_remembered(clocked, bundle, clock, tmp_path):
    said = choose_rows(clocked, requests(), tmp_path / "cache", None)
    assert clocked.batch_rows == 64
    assert said.startswith("64 UNet rows a call: calibrated now at 64x64 on ")
    assert "1.12 ms a row, the best of 2, 4, 8, 16, 32, 64; --batch-rows overrides" in said
    again = Clocked(bundle, clock, clocked.per_row)
    assert "calibrated before" in choose_rows(again, requests(2), tmp_path / "cache", None)
    assert again.batch_rows == 64
    assert again.trials == []


def test_what_a_calibration_depends_on_makes_it_anew(clocked, tmp_path, monkeypatch):
    def trials(size=64, threads=None):
        clocked.trials.clear()
        choose_rows(clocked, requests(size=size), tmp_path, threads)
        return bool(clocked.trials)

    assert trials()
    assert not trials()
    assert trials(size=128)
    assert trials(threads=1)
    monkeypatch.setattr(bucket, "device_name", lambda gpu: "another machine")
    assert trials()
    clocked.provider = "openvino-f32"
    assert trials()
    assert len(json.loads(calibration_file(tmp_path).read_text())) == 5


def test_what_was_measured_on_a_busy_machine_is_measured_again(bundle, clock, others, tmp_path):
    """The other programs of the first run make 2 rows the fastest, as they once did for ever."""

    def render(per_row, share, count=100):
        renderer = Clocked(bundle, clock, per_row)
        others[0] = share
        said = choose_rows(renderer, requests(count), tmp_path, None)
        return renderer.batch_rows, bool(renderer.trials), said

    rows, tried, said = render(lambda rows: 29.0 + rows, 0.6)
    assert (rows, tried) == (2, True)
    assert "other programs took 60% of the CPU time meanwhile, so the next render measures again; --batch-rows" in said
    rows, tried, said = render(lambda rows: 1 + 8 / rows, 0.0, count=2)
    assert (rows, tried) == (DEFAULT_ROWS, False)
    assert "too little to render for another calibration, as the last was made on a busy machine" in said
    rows, tried, said = render(lambda rows: 40.0 + 8 / rows, 0.8)
    assert (rows, tried) == (2, True), "the less disturbed of the two counts"
    assert "60%" in said
    assert render(lambda rows: 1 + 8 / rows, 0.04)[:2] == (64, True)
    rows, tried, said = render(lambda rows: 29.0 + rows, 0.9)
    assert (rows, tried) == (64, False), "and that is all"
    assert "calibrated before, 20" in said
    (kept,) = json.loads(calibration_file(tmp_path).read_text()).values()
    assert (kept["rows"], kept["others"]) == (64, 0.04)


def test_a_calibration_that_says_nothing_of_the_machine_is_made_again_once(clocked, tmp_path):
    choose_rows(clocked, requests(), tmp_path, None)
    file = calibration_file(tmp_path)
    data = json.loads(file.read_text())
    file.write_text(
        json.dumps({key: {name: kept[name] for name in ("rows", "milliseconds")} for key, kept in data.items()})
    )
    for tried in (True, False):
        clocked.trials.clear()
        choose_rows(clocked, requests(), tmp_path, None)
        assert bool(clocked.trials) == tried


def test_concepts_change_no_calibration(clocked, bundle, clock, tmp_path):
    choose_rows(clocked, requests(), tmp_path, None)
    taught = Bundle(bundle.path, bundle.info.model_copy(update={"concepts": []}), "another")
    again = Clocked(taught, clock, clocked.per_row)
    choose_rows(again, requests(), tmp_path, None)
    assert not again.trials


def test_steps_without_guidance_count_as_one_row(clocked, tmp_path):
    asked = requests(WORTH_ROWS // 40 + 1)
    rows = sum(2 * one.steps for one in asked)
    assert rows >= WORTH_ROWS > rows // 2
    unguided = [replace(one, guidance_stop=0.0) for one in asked]
    assert "too little to render" in choose_rows(clocked, unguided, tmp_path, None)
    assert "calibrated now" in choose_rows(clocked, asked, tmp_path, None)


def test_little_work_is_not_worth_a_calibration(clocked, tmp_path):
    few = requests(WORTH_ROWS // 40)
    assert "too little to render" in choose_rows(clocked, few, tmp_path, None)
    assert clocked.batch_rows == DEFAULT_ROWS
    assert clocked.trials == []


def test_the_most_common_size_is_tried(clocked, tmp_path):
    choose_rows(clocked, [*requests(20, 128), *requests(80, 256)], tmp_path, None)
    assert {trial[1:] for trial in clocked.trials} == {(256, 256)}


def test_what_does_not_fit_is_not_chosen(bundle, clock, tmp_path):
    small = Clocked(bundle, clock, lambda rows: 1 + 8 / rows, fits=16)
    assert "the best of 2, 4, 8, 16;" in choose_rows(small, requests(), tmp_path, None)
    assert small.batch_rows == 16


def test_slow_calls_are_not_tried_for_long(bundle, clock, tmp_path):
    """Two seconds a row, as Stable Diffusion 1.5 takes on a small CPU: 4 rows would take 16 s to try."""
    slow = Clocked(bundle, clock, lambda rows: 2000.0)
    choose_rows(slow, requests(), tmp_path, None)
    assert [rows for rows, *_ in slow.trials] == [2, 2]
    assert slow.batch_rows == 2


def test_a_cache_that_cannot_be_written_is_no_failure(clocked, tmp_path):
    (tmp_path / "cache").touch()
    assert "calibrated now" in choose_rows(clocked, requests(), tmp_path / "cache", None)
    assert stat.S_ISREG((tmp_path / "cache").stat().st_mode)


def test_a_real_renderer_is_calibrated_on_its_engine(bundle, tmp_path):
    renderer = Renderer(bundle, batch_rows=3)
    said = choose_rows(renderer, requests(), tmp_path, None)
    assert renderer.batch_rows in bucket.BUCKETS
    assert said.startswith(f"{renderer.batch_rows} UNet rows a call: calibrated now at 64x64")
    (kept,) = json.loads(calibration_file(tmp_path).read_text()).values()
    assert kept["rows"] == renderer.batch_rows
    assert all(milliseconds > 0 for milliseconds in kept["milliseconds"].values())
