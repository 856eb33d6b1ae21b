"""What each further job of a manifest costs its plan: calls of functions, which no machine's speed changes, and memory."""

import cProfile
import json
import pstats
import random
import tracemalloc
from pathlib import Path

import pytest

from latentpress.batch.plan import plan as plan_module
from latentpress.batch.plan import prompts, shapes
from latentpress.batch.plan.plan import build_plan
from latentpress.manifest import draft
from latentpress.manifest.manifest import read_manifest
from latentpress.models import facts_of, named_bundle

TEXT = "a red kite old house over the sea by night in glass and steel blue green robots photo of mountain river"
WORDS = TEXT.split()
FEW = 2_000
# Calls: what was measured, and a tenth. A call is some 0.15 to 0.25 us here. Bytes: of what Python holds, SQLite's aside.
CALLS = {"jsonl": 134, "csv": 165, "yaml": 63}
BYTES = 60


@pytest.fixture(scope="module")
def facts(demo_cache):
    return facts_of({"demo": named_bundle("demo", demo_cache, verify=False)})


def written(folder: Path, kind: str, count: int) -> Path:
    """A manifest of `count` jobs of twelve words, each its own; of a matrix, ten styles of each seed."""
    path = folder / f"{count}.{kind}"
    draw = random.Random(count)
    rows = [(f"j{number}", "demo", " ".join(draw.choices(WORDS, k=12)), number) for number in range(count)]
    if kind == "jsonl":
        keys = ("id", "model", "prompt", "seed")
        path.write_text("".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in rows))
    elif kind == "csv":
        path.write_text("id,model,prompt,seed\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    else:
        styles = json.dumps([f"style number {number}" for number in range(10)])
        head = "version: 1\nmodel: demo\ndefaults: {prompt: 'a kite, {style}'}\n"
        path.write_text(f"{head}matrix: {{seed: 1..{count // 10}, style: {styles}}}\n")
    return path


def planned(path, facts):
    return build_plan(read_manifest(path), facts, {}, lambda: 7)


@pytest.mark.parametrize("kind", CALLS)
def test_a_further_job_costs_few_calls(kind, facts, tmp_path):
    planned(written(tmp_path, kind, 100), facts)  # what is done once
    counted = []
    for count in (FEW, 2 * FEW):
        path = written(tmp_path, kind, count)
        with cProfile.Profile() as profile:
            assert len(planned(path, facts).jobs) == count
        counted.append(pstats.Stats(profile).total_calls)
    assert (counted[1] - counted[0]) / FEW <= CALLS[kind]


@pytest.mark.parametrize("kind", CALLS)
def test_a_further_job_is_not_held_in_memory(kind, facts, tmp_path, monkeypatch):
    for module in (draft, prompts, shapes, plan_module):  # what is kept of the last ones is full after the first few
        for name in ("_KEPT", "_SHARED", "_ROWS", "_SAID"):
            monkeypatch.setattr(module, name, 200, raising=False)
    peaks = []
    tracemalloc.start()
    try:
        for count in (FEW, 2 * FEW):
            path = written(tmp_path, kind, count)
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            plan = planned(path, facts)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
            del plan
    finally:
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / FEW <= BYTES
