"""Estimates: the calls that are counted are those the loop makes, and the time is what was measured of each part."""

import hashlib
import re
import sqlite3
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from latentpress.batch.estimate.calls import packed_calls
from latentpress.batch.estimate.disk import Disk, check_disk, disk_of
from latentpress.batch.estimate.estimate import estimated, past_error
from latentpress.batch.estimate.lines import prospect_lines, time_line
from latentpress.batch.estimate.loads import Kind, Load, Loads, loads_of
from latentpress.batch.estimate.pace import Pace
from latentpress.batch.ledger.ledger import ledger_path
from latentpress.batch.ledger.runs import RunRow
from latentpress.batch.state.report import counts_line
from latentpress.errors import EnvironmentFailure, counted, mebibytes
from latentpress.models import facts_of, named_bundle
from latentpress.runtime.loop.denoise import Lookahead, admit, unfinished
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import ImageFile, LossSpec, RenderRequest
from latentpress.runtime.timings import Measured, Stopwatch, merged, recalled_timings, remember_timings
from latentpress.runtime.work import Work

SIX = "defaults: {prompt: a mouse, steps: 4}\nmatrix: {seed: 1..6}\n"


def request(seed, **changes):
    return replace(RenderRequest("a mouse", seed, 64, 64, "euler", 3, 5.0), **changes)


def test_the_calls_counted_are_those_that_are_made(demo_cache, tmp_path):
    """Of every mode in one queue: without guidance, guidance that stops, two calls a step, a given picture, a loss."""
    Image.effect_noise((64, 64), 50).convert("RGB").save(tmp_path / "in.png")
    picture = ImageFile(hashlib.sha256((tmp_path / "in.png").read_bytes()).hexdigest(), tmp_path / "in.png")
    bundle = named_bundle("demo", demo_cache, verify=False)
    asked = [
        request(1),
        request(2, guidance_scale=1.0),
        request(3, guidance_stop=0.5),
        request(4, sampler="heun", steps=2),
        request(5, sampler="pndm"),
        request(6, init_image=picture, strength=0.5),
        request(7, losses=(LossSpec("channel", 10.0, 2, params={"channel": "blue", "target": 0.9}),)),
        request(8),
    ]
    work = [facts_of({"it": bundle})["it"].work(one) for one in asked]
    renderer = Renderer(bundle, batch_rows=6)
    turns: list[int] = []
    assert all(picture.image is not None for picture in renderer.render(enumerate(asked), turns.append))
    assert packed_calls([one.rows for one in work], 6) == Counter(turns)
    [timings] = renderer.timings().values()
    counts: Counter[str] = Counter()
    for what, (count, seconds) in timings.items():
        assert (what.width, what.height) == (64, 64)
        assert seconds > 0
        counts[what.part] += int(count)
    assert counts == {"turn": len(turns), "gradient": 2, "decode": 8, "begin": 7, "read": 1}
    assert sum(one.gradients for one in work) == 2
    assert [one.read for one in work] == [one is asked[5] for one in asked]
    assert renderer.timings() == {key: {} for key in renderer.timings()}, "it begins anew"


class Row:
    """A trajectory as the loop packs them, without a model."""

    shape = (1,)

    def __init__(self, rows):
        self.all, self.step = rows, 0

    @property
    def rows(self):
        return self.all[self.step]

    @property
    def finished(self):
        return self.step == len(self.all)


@pytest.mark.parametrize("seed", range(40))
def test_packing_is_the_loops(seed):
    noise = np.random.default_rng(seed)
    pictures = [[2] * int(noise.integers(0, 7)) + [1] * int(noise.integers(0, 4)) for _ in range(noise.integers(1, 12))]
    most = int(noise.integers(2, 9))
    waiting, active, found = Lookahead(iter(Row(rows) for rows in pictures if rows)), [], Counter()
    while admit(active, waiting, most):
        found[sum(one.rows for one in active)] += 1
        for one in active:
            one.step += 1
        active = unfinished(active)
    assert packed_calls(pictures, most) == found


def test_a_span_within_another_counts_for_itself_alone(monkeypatch):
    now = iter([0.0, 10.0, 13.0, 20.0])
    monkeypatch.setattr("latentpress.runtime.timings.clock", lambda: next(now))
    watch = Stopwatch()
    with watch.measure(Measured("turn")), watch.measure(Measured("gradient")):
        pass
    assert watch.taken() == {Measured("turn"): (1, 17.0), Measured("gradient"): (1, 3.0)}


def test_timings_are_kept_and_the_new_pace_of_a_machine_soon_shows(tmp_path):
    file, turn = tmp_path / "cache" / "timings.json", Measured("turn", 64, 96, 1, 8)
    remember_timings(file, {"k": {turn: (1000, 1000.0), Measured("bucket", 64, 96): (4, 0.0)}})
    remember_timings(file, {"k": {turn: (200, 400.0), Measured("bucket", 64, 96): (16, 0.0)}, "other": {}})
    found = recalled_timings(file, "k")
    assert found[turn] == (400, 600.0), "1.5 s a call, of 1 s before and 2 s now"
    assert found[Measured("bucket", 64, 96)] == (16, 0.0)
    assert merged({turn: (3, 3.0)}, {turn: (1, 5.0)}) == {turn: (4, 8.0)}
    assert recalled_timings(file, "unheard of") == {}
    for text in ("not JSON", "[]", '{"k": {"turn": [1]}}', '{"k": {"turn 1x1 1 1": 3}}'):
        file.write_text(text)
        assert recalled_timings(file, "k") == {}


def pace(*timings):
    return Pace({Measured(*what): (1.0, seconds) for what, seconds in timings})


def test_what_was_not_measured_is_drawn_from_what_is_most_like_it():
    known = pace((("turn", 64, 64, 1, 4), 0.4), (("turn", 64, 64, 1, 8), 0.6), (("decode", 64, 64), 0.1))
    assert known.turn(64, 64, 1, 8) == 0.6
    assert known.turn(64, 64, 1, 6) == pytest.approx(0.5)
    assert known.turn(64, 64, 1, 2) == pytest.approx(0.2)
    assert not known.rough
    assert known.turn(64, 128, 1, 8) == pytest.approx(1.2)
    assert known.rough
    assert known.decode(128, 128) == pytest.approx(0.4)
    calibrated = pace((("call", 64, 64, 1, 8), 0.8))
    assert calibrated.turn(64, 64, 1, 4) == pytest.approx(0.4)
    assert calibrated.rough
    assert pace().turn(64, 64, 1, 4) is None
    assert pace().decode(64, 64) is None


def test_the_estimate_is_the_sum_of_its_parts(folder):
    body = "defaults: {prompt: a, steps: 4}\nmatrix:\n  seed: 1..5\n  loss: [none, {name: canny, every: 2}]\n"
    state = folder(body).status()
    hash_ = state.plan.bundle.hash
    known = pace(
        *((("turn", 64, 64, 1, rows), 0.1 * rows) for rows in (2, 4, 8)),
        *[(("decode", 64, 64), 0.05), (("begin", 64, 64), 0.01), (("gradient", 64, 64), 1.0), (("load",), 3.0)],
        (("between",), 0.02),
    )
    found = estimated(loads_of(state), {hash_: known})
    # Ten pictures of 2 rows and 4 steps. The fakes' work has no gradients.
    assert found.parts[0].calls == {8: 8, 4: 4}
    assert found.seconds == pytest.approx(80 * 0.1 + 10 * (0.05 + 0.01 + 0.02))
    assert found.loading == 3.0
    assert not found.rough
    assert estimated(loads_of(state), {}).seconds is None
    assert estimated(loads_of(state), {hash_: known}, batch_rows=4).parts[0].calls == {4: 20}
    half = estimated(loads_of(replace(state, chosen=frozenset(range(6, 11)))), {hash_: known})
    assert half.parts[0].load.pictures == 5


def test_what_guides_is_opened_once_and_counts_as_loading():
    known = pace(
        *((("turn", 64, 64, 1, 2), 0.1), (("decode", 64, 64), 0.05), (("gradient", 64, 64), 1.0)),
        *((("load",), 3.0), (("guidance",), 4.0)),
    )
    for gradients, loading in ((0, 3.0), (2, 7.0)):
        kind = Kind("b", 64, 64, 1, "euler", 1, Work((2,), gradients=gradients))
        load = Load("b", 64, 64, 1, Counter({kind: 3}), [kind] * 3)
        assert estimated(Loads((load,), 3), {"b": known}).loading == loading


def test_twins_are_one_picture_and_two_files(folder):
    loads = loads_of(folder("defaults: {prompt: a}\njobs: [{id: a}, {id: b}]\noutput: '{id}.png'\n").status())
    assert (loads.pictures, loads.names, loads.pixels) == (1, 2, 2 * 64 * 64)


def run(estimate, seconds, end="finished", failed=0):
    return RunRow(1, "p", "m", 0.0, 1.0, end, 1, 1, failed, estimate, 0.0, seconds, None, None)


def test_the_error_is_that_of_the_folders_earlier_estimates():
    rows = [run(100.0, 120.0), run(100.0, 90.0), run(None, 5.0), run(10.0, 90.0, "interrupted"), run(1.0, None)]
    assert past_error(rows) == pytest.approx((0.15, 2))
    assert past_error(rows[2:]) is None
    assert past_error([*rows, run(100.0, 1.0, failed=1)]) == past_error(rows), "what failed took another time"


def test_a_render_records_what_it_was_expected_to_take_and_took(folder, new_executor, tmp_path):
    folder(SIX).render(executor=new_executor())
    query = "SELECT pictures, done, end, estimate, seconds >= 0, loading >= 0 FROM runs"
    with sqlite3.connect(ledger_path(tmp_path / "out")) as ledger:
        assert ledger.execute(query).fetchall() == [(6, 6, "finished", None, 1, 1)]


def test_the_disk_is_told_by_the_finished_pictures(folder, new_executor, tmp_path):
    few, many = SIX.replace("1..6", "1..8"), SIX.replace("1..6", "1..40")
    before = folder(many)
    bound = before.prospect(before.status()).disk
    assert (bound.bytes, bound.bound) == (40 * (64 * 64 * 3 + 8192), True)
    folder(few).render(executor=new_executor())
    state = folder(many).status()
    disk = disk_of(loads_of(state), state.plan.table, tmp_path / "out")
    size = sum(path.stat().st_size for path in (tmp_path / "out").glob("*.png")) / 8
    assert disk.bytes == pytest.approx(32 * size * 1.25, rel=1e-3)
    assert not disk.bound
    needed = re.escape(mebibytes(round(32 * size * 1.25)))
    with pytest.raises(
        EnvironmentFailure, match=rf"the images take about {needed} and 0\.1 KiB are free; .*--any-space"
    ):
        check_disk(replace(disk, free=10), tmp_path)
    check_disk(replace(disk, free=disk.bytes), tmp_path)


def test_a_render_begins_on_a_full_disk_if_it_is_told_to(folder, new_executor, monkeypatch):
    full = Disk(1 << 40, True, 1 << 20)
    monkeypatch.setattr("latentpress.batch.run.disk_of", lambda *_: full)
    with pytest.raises(EnvironmentFailure, match="--any-space"):
        folder(SIX).render(executor=new_executor())
    assert folder(SIX).render(executor=new_executor(), any_space=True).summary.done == 6


def test_a_plan_says_what_it_takes_and_leaves_no_file(folder, tmp_path):
    made = folder(SIX)
    lines = list(prospect_lines(made.status().plan, made.prospect(made.status())))
    assert lines == [
        "opens fake for 6 pictures:",
        "  6 pictures of 64x64, euler 4 steps: 48 UNet rows in 8 calls (4 of 8, 4 of 4 rows)",
        "time unknown: nothing like it was rendered on this engine here; `render --limit 8` finds out",
    ]
    known = estimated(loads_of(made.status()), {"c" * 64: pace((("turn", 64, 64, 1, 8), 1.0))}, error=(0.12, 3))
    # 4 calls of 8 rows at 1 s, 4 of 4 at half, and 6 decodings taken for 1.5 rows each, at 1/8 s.
    assert time_line(known) == (
        "about 7.1 s (3 earlier estimates here were off by 12% on average; rough, drawn from other sizes or from "
        "calibration alone)"
    )
    assert not (tmp_path / "out").exists()


def test_one_of_a_thing_is_one_and_some_bytes_are_never_none(folder):
    assert [counted(number, "call") for number in (0, 1, 2, 1234)] == ["0 calls", "1 call", "2 calls", "1,234 calls"]
    assert [counted(number, "file was", "files were") for number in (1, 2)] == ["1 file was", "2 files were"]
    sizes = (0, 1, 5000, 104857, 104858, 3 << 20, 5000 << 20)
    found = ["0.0 MiB", "0.1 KiB", "4.9 KiB", "102.4 KiB", "0.1 MiB", "3.0 MiB", "5,000.0 MiB"]
    assert [mebibytes(size) for size in sizes] == found
    made = folder("defaults: {prompt: a, steps: 1, sampler: ddim, guidance_scale: 1}\njobs: [{seed: 1}]\n")
    state = made.status()
    line = list(prospect_lines(state.plan, made.prospect(state)))[1]
    assert re.fullmatch(r"  1 picture of 64x64, ddim 1 step: \d UNet rows? in 1 call \(1 of \d rows?\)", line), line
    assert "0 of 1 image done, 1 missing" in counts_line(state, made.path, "9 KiB")
