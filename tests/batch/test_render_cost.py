"""What each further picture costs its render beside the engine, in calls of functions, which no machine's speed changes."""

import cProfile
import json
import os
import pstats

from latentpress.batch import writers
from latentpress.batch.folder import OutputFolder
from latentpress.batch.ledger.ledger import Ledger
from latentpress.manifest.manifest import read_manifest
from latentpress.models import Models

FEW = 30
# What was measured, and a tenth; planning and encoding included, of which the latter is a third of them.
CALLS = 1560


def rendered(folder, count, facts, executor):
    """The calls that a render of `count` jobs makes, each with a prompt of its own, and the SQL that it runs."""
    folder.mkdir()
    rows = (
        {"model": "demo", "id": f"j{n}", "prompt": f"a red kite above town number {n}", "seed": n} for n in range(count)
    )
    (folder / "jobs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    target = OutputFolder(read_manifest(folder / "jobs.jsonl"), folder / "out", models=Models({}, {"demo": facts}))
    with cProfile.Profile() as profile:
        assert target.render(executor=executor).summary.done == count
    return pstats.Stats(profile).total_calls


def test_a_further_picture_costs_few_calls(facts, tmp_path, monkeypatch, new_executor):
    # In the thread that is measured.
    monkeypatch.setattr(writers.Writers, "put", writers.Writers._record)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    statements = []
    run = Ledger.run
    monkeypatch.setattr(
        Ledger, "run", lambda self, query, values=(): (statements.append(query), run(self, query, values))[1]
    )
    rendered(tmp_path / "first", 5, facts, new_executor())  # what is done once
    few = rendered(tmp_path / "few", FEW, facts, new_executor())
    statements.clear()
    many = rendered(tmp_path / "many", 2 * FEW, facts, new_executor())
    assert (many - few) / FEW < CALLS
    assert sum("images" in query for query in statements if "WHERE plan_hash<>" not in query) == 2 * FEW
