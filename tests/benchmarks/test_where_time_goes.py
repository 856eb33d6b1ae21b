"""The clock that says where a render's time goes: the parts it names are there, and it takes itself away again."""

import importlib.util
import sys
from pathlib import Path

from latentpress.batch import planned, writers

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "where_time_goes.py"


def test_every_part_is_found_and_given_back(monkeypatch, go, new_executor):
    spec = importlib.util.spec_from_file_location("where_time_goes", PATH)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "where_time_goes", module)
    spec.loader.exec_module(module)
    before = planned.build_plan, writers.picture_bytes
    clock = module.Clock()
    with module.clocked(clock):
        assert planned.build_plan is not before[0]
        go("defaults: {prompt: a}\nmatrix: {seed: 1..6}\n", new_executor())
    assert (planned.build_plan, writers.picture_bytes) == before
    assert clock.calls["start: plan"] == 1
    assert clock.calls["writers: encode pictures"] == clock.calls["writers: ledger row"] == 6
