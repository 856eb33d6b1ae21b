"""What a row of timings says, against simulation: intervals, percentiles, trends, and comparisons of two runs."""

import numpy as np
import pytest
import scipy.stats

from latentpress.bench.compare import FASTER, SAME, SLOWER, compared
from latentpress.bench.figures import carried, figure
from latentpress.bench.steady import Steady, trend


def test_a_figure_is_the_median_and_its_range():
    found = figure([4.0, 1.0, 2.0, 3.0, 100.0])
    assert (found.calls, found.median, found.least, found.most) == (5, 3.0, 1.0, 100.0)
    assert found.low <= 3 <= found.high
    assert (found.p90, found.p99) == (None, None)
    with pytest.raises(ValueError, match="no calls"):
        figure([])


def test_a_percentile_is_told_where_so_many_calls_carry_it():
    """By simulation: of 28 calls the slowest is below the true 90th percentile too often, of 29 it is not."""
    random = np.random.default_rng(0)
    for percentile, least in ((50, 5), (90, 29), (99, 299)):
        assert carried(percentile, least)
        assert not carried(percentile, least - 1)
        beyond = random.random((20000, least)).max(axis=1) > percentile / 100
        assert beyond.mean() > 0.944
    few, many = figure(list(random.random(28))), figure(list(random.random(299)))
    assert few.p90 is None
    assert many.p90 is not None
    assert many.p99 == pytest.approx(0.99, abs=0.02)


@pytest.mark.parametrize("count", [10, 30, 100])
def test_an_interval_holds_the_true_median(count):
    """In 200 simulated runs whose noise has a tail, as timings have: not far from 95%, and narrower with more calls."""
    random = np.random.default_rng(count)
    held, widths = 0, []
    for _ in range(200):
        found = figure(list(random.lognormal(0, 0.2, count)))
        held += found.low <= 1 <= found.high
        widths.append(found.high - found.low)
    assert held >= 186  # 95% of 200, less a bad day of the simulation
    assert np.median(widths) == pytest.approx(2 * 1.96 * 1.25 * 0.2 / np.sqrt(count), rel=0.35)


def test_a_trend_is_kendalls():
    """scipy's tau, of which the score is the normal approximation, with its continuity correction."""
    random = np.random.default_rng(3)
    for slope in (-0.5, 0.0, 0.5):
        values = (slope * np.arange(8) + random.standard_normal(8)).tolist()
        tau = scipy.stats.kendalltau(np.arange(8), values).statistic
        pairs = tau * 28
        expected = (pairs - np.sign(pairs)) / np.sqrt(8 * 7 * 21 / 18)
        assert trend(values) == pytest.approx(expected)


def test_warming_up_is_over_when_nothing_falls_any_more():
    steady = Steady()
    for seconds in (9.0, 5.0, 3.0, 2.0, 1.5, 1.3, 1.2, 1.1):
        steady.add(seconds)
    assert not steady.done
    for seconds in (1.02, 1.0, 1.03, 1.01, 1.02, 1.0, 1.01, 1.03):
        steady.add(seconds)
    assert steady.done


def run(random, slower=1.0, noise=0.04, drift=0.1, rounds=10, calls=3):
    """A run as `bench --json` has it, of a machine whose pace drifts by a tenth while it is measured, and between runs."""
    pace = np.exp(drift * np.cumsum(random.standard_normal(rounds)) / np.sqrt(rounds) + 0.1 * random.standard_normal())
    components = []
    for name, milliseconds in (("text_encoder", 4.0), ("unet", 30.0), ("vae_decoder", 20.0)):
        times = milliseconds * (slower if name == "unet" else 1) * pace[:, None]
        times = times * np.exp(noise * np.abs(random.standard_normal((rounds, calls))))
        yardstick = 0.01 * pace * np.exp(0.01 * random.standard_normal(rounds))
        values = list(times.ravel())
        figure_of = {"median": float(np.median(values))}
        beside = list(np.repeat(yardstick, calls))
        components.append({"component": name, "rows": 8, "values": values, "yardstick": beside, "figure": figure_of})
    work = {"height": 64, "width": 64, "sampler": "euler", "steps": 20, "guidance_scale": 7.5}
    names = ("latentpress", "python", "system", "governor", "driver", "cuda", "memory_limit", "cpu_limit")
    return {
        **dict.fromkeys(("bundle", "engine", "precision", "provider", "device"), "x"),
        "threads": None,
        "graphs": {"unet": "1" * 64},
        "settings": {"work": work},
        "conditions": {**dict.fromkeys(names), "packages": {}, "variables": {}},
        "yardstick_version": 1,
        "components": components,
        "scenarios": [],
    }


def verdicts(first, second):
    return [one.verdict for one in compared(first, second).differences]


def test_two_runs_of_one_thing_are_within_noise_and_a_tenth_slower_is_found():
    """Of 40 simulated pairs of each, at least 38, as the machine drifts by more than what is looked for."""
    random = np.random.default_rng(7)
    same = sum(set(verdicts(run(random), run(random))) == {SAME} for _ in range(40))
    slow = sum(verdicts(run(random), run(random, slower=1.1)) == [SAME, SLOWER, SAME] for _ in range(40))
    assert min(same, slow) >= 38, (same, slow)
    assert verdicts(run(random, slower=1.2), run(random)) == [SAME, FASTER, SAME]


def test_a_comparison_says_what_differs_between_the_runs():
    random = np.random.default_rng(1)
    first, second = run(random), run(random)
    second["conditions"]["packages"] = {"onnxruntime": "1.99"}
    second["components"].pop(0)
    found = compared(first, second)
    assert found.unlike == {"onnxruntime": ("none", "1.99")}
    assert found.missing == ["text_encoder, 8 rows"]
    assert found.one_machine
    second["device"] = "another CPU"
    assert not compared(first, second).one_machine
