"""Folders that earlier releases rendered are done, not rendered again; what a rule would draw otherwise is named.

data/ledgers-version-3.tar.xz holds three manifests, what they need, and the folders that commits 05dd2c3 and 5bef550 made
of them, with ledgers of version 3: `kept` on the bundle of format 2 (data/bundle-format-2.tar.xz) with a concept of the
manifest's own, given pictures, a loss, twins and drawn seeds; `names` with the default names of then; `demo` on the demo
bundle, whose export is another one today. A prompt of `names` has a character of Unicode 15, which 05dd2c3 dropped.
"""

import json
import sqlite3
import tarfile
from pathlib import Path

import pytest

from latentpress.batch.folder import OutputFolder
from latentpress.cli import run_cli

DATA = Path(__file__).parent.parent / "data"
PICTURES = {"kept": 9, "names": 4, "demo": 4}


@pytest.fixture
def unpacked(tmp_path, monkeypatch, demo_cache):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTPRESS_CACHE", str(demo_cache))
    for name in ("ledgers-version-3", "bundle-format-2"):
        with tarfile.open(DATA / f"{name}.tar.xz") as archive:
            archive.extractall(tmp_path, filter="data")
    return tmp_path


def tree(folder):
    """Every picture under its name, and those moved aside by what they hold."""
    return {path: path.read_bytes() for path in folder.rglob("*.png")}


class Nobody:
    """Renders nothing, and must not be asked to."""

    def open(self, bundle, requests):
        raise AssertionError("something is to be rendered")


@pytest.mark.parametrize("commit", ["05dd2c3", "5bef550"])
@pytest.mark.parametrize("name", PICTURES)
def test_what_an_earlier_release_rendered_is_done(commit, name, unpacked, capsys):
    out = unpacked / commit / "out" / name
    before = tree(out)
    assert run_cli(["status", f"{name}.yaml", "-o", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    finished = {state: said["counts"][state] for state in ("done", "earlier", "found")}
    assert sum(finished.values()) == PICTURES[name]
    assert said["taken"] == {}
    assert said["undrawn_seeds"] == 0
    assert tree(out) == before, "a status changes nothing"

    outcome = OutputFolder(f"{name}.yaml", out).render(executor=Nobody())
    assert outcome.summary.done == outcome.summary.failed == 0
    after = tree(out)
    assert {content for path, content in before.items() if path.name != "sheet.png"} <= set(after.values())
    ruled = {"kept": {"loss-step": 1}, "names": {"unassigned-characters": 1} if commit == "05dd2c3" else {}}.get(
        name, {}
    )
    state = OutputFolder(f"{name}.yaml", out).status()
    assert dict(state.rules) == ruled
    assert state.counts["earlier"] == sum(ruled.values())
    with sqlite3.connect(out / ".latentpress/ledger.sqlite") as connection:
        rows = connection.execute(
            "SELECT identity, contents, stamp FROM images WHERE output IN (SELECT output FROM jobs)"
        )
        assert all(identity == 2 and contents and stamp for identity, contents, stamp in rows)


def test_an_edited_concept_is_not_taken_for_the_old_one(unpacked, capsys):
    """The picture says which file taught its concept; the others are done all the same."""
    out = unpacked / "5bef550/out/kept"
    import torch

    torch.save({"<new>": torch.ones(16)}, unpacked / "new.bin")
    state = OutputFolder("kept.yaml", out).status()
    assert [str(job.output) for job in state.jobs("missing")] == ["new-4.png"]
    assert (state.counts["done"], state.counts["earlier"]) == (7, 1)  # a loss guides the one
