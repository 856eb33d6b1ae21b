"""Sweeps: what is combined, what is on the front, and the command's tables."""

import csv
import json

import pytest

from latentpress.bench.figures import figure
from latentpress.bench.sweep import Combination, _ranked, combinations_of, parse_axes
from latentpress.bench.sweep_report import table_text
from latentpress.cli import run_cli
from latentpress.errors import UsageError
from published import read

BASE = Combination("cpu", None, (64, 64), 20, 8)


def test_every_combination_of_the_axes_is_measured():
    found = combinations_of(parse_axes(["rows=2,8", "engine=cpu,openvino", "size=64x72"]), BASE)
    assert [(one.engine, one.rows, one.size) for one in found] == [
        ("cpu", 2, (72, 64)),
        ("cpu", 8, (72, 64)),
        ("openvino", 2, (72, 64)),
        ("openvino", 8, (72, 64)),
    ]
    assert combinations_of(parse_axes(["threads=all,2"]), BASE)[0].threads is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rows", "must be AXIS=VALUE,VALUE"),
        ("rows=", "must be AXIS=VALUE,VALUE"),
        ("batch=2", "one of engine, threads, size, steps, rows"),
        ("rows=0", "--sweep rows=0: must be a number from 1 to 1024"),
        ("size=100x100", "both multiples of 8"),
    ],
)
def test_what_is_no_axis_gets_a_sentence(text, said):
    with pytest.raises(UsageError, match=said):
        combinations_of(parse_axes([text]), BASE)


def test_the_front_is_what_nothing_beats_in_latency_and_throughput():
    """Two pictures in 100 ms, four in 150, and four in 190, which the second beats in both."""
    ones = [Combination("cpu", None, (64, 64), 20, rows) for rows in (4, 8, 9)]
    latencies = dict(zip(ones, (figure([100.0] * 6), figure([150.0] * 6), figure([190.0] * 6)), strict=True))
    found = _ranked(latencies, dict(zip(ones, (2, 4, 4), strict=True)))
    assert [one.front for one in found] == [True, True, False]
    assert [one.throughput for one in found] == pytest.approx([20, 26.67, 21.05], rel=1e-3)
    assert table_text(found, ".md").splitlines()[2].startswith("| cpu | all | 64x64 | 20 | 4 | 2 | 100.0 |")
    assert r"cpu & all & 64x64 & 20 & 8 & 4 & 150.0" in table_text(found, ".tex")


def test_the_command_writes_a_table_and_a_plot(bundle, tmp_path, capsys):
    base = ["bench", str(bundle.path), "--size", "64x64", "--steps", "2", "--repeats", "2", "--sweep", "rows=2,4"]
    table, plot, file = (tmp_path / name for name in ("s.csv", "s.png", "s.json"))
    assert run_cli([*base, "--table", str(table), "--plot", str(plot), "--json", str(file)]) == 0
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(row["rows"], row["pictures"]) for row in rows] == [("2", "1"), ("4", "2")]
    assert plot.stat().st_size > 1000
    found = read("bench-sweep", json.dumps({"version": 1, **json.loads(file.read_text())}))["sweep"]
    assert [one["combination"]["rows"] for one in found] == [2, 4]
    for one, row in zip(found, rows, strict=True):
        assert one["throughput"] == pytest.approx(one["pictures"] / (one["latency"]["median"] / 1000))
        assert float(row["images/s"]) == pytest.approx(one["throughput"], abs=1e-3)
    assert "latency ms" in capsys.readouterr().out
    assert run_cli([*base, "--table", str(tmp_path / "s.doc")]) == 2
    assert "the suffix must be one of .csv, .md, .tex" in capsys.readouterr().err
