"""Every example of a format is planned, and asks for the pictures that it looks as if it asked for."""

from pathlib import Path

import pytest

from fakes import fake_facts
from latentpress.batch.plan.plan import build_plan
from latentpress.manifest.manifest import read_manifest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "formats"
IDS = {
    "jobs.csv": ["jobs-2", "jobs-2", "jobs-3"],
    "jobs.jsonl": ["kite", "kite", "kite", "jobs-2"],
    "manifest.json": ["formats-json"] * 4,
    "including.yaml": ["moon"] * 2 + ["csv-2"] * 2 + ["csv-3"] + ["kite"] * 3 + ["jobs-2", "heart", "heart", "edit"],
}


@pytest.mark.parametrize("name", IDS)
def test_an_example_is_planned(name):
    plan = build_plan(read_manifest(EXAMPLES / name), {"demo": fake_facts()}, {}, lambda: 7)
    assert [job.id for job in plan.jobs] == IDS[name]


def test_no_example_is_left_out():
    assert {path.name for path in EXAMPLES.iterdir()} == IDS.keys() | {"openai-batch.jsonl"}  # which the manifest names
