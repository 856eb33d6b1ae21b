"""A ledger's kept plan is the plan that would be made, and stands for it until anything changes that it is made of."""

import os
import shutil
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentpress.batch import decisive, late
from latentpress.batch.folder import OutputFolder
from latentpress.batch.kept import kept_manifest, kept_plan
from latentpress.batch.ledger.beside import beside
from latentpress.errors import ManifestError
from latentpress.manifest import given as inputs_given
from latentpress.manifest import inputs, text_file
from latentpress.manifest.manifest import read_manifest
from latentpress.models import Models
from latentpress.runtime import rules

MANIFEST = """version: 1
name: kites
model: demo
concepts: {<line>: concepts}
defaults: {prompt: a red __shape__ __f*__, init_image: start.png, strength: 0.5}
matrix: {seed: [1, -1]}
jobs:
  - {id: own}
  - {id: told, prompt: {file: lines.txt}}
  - {id: masked, mask_image: mask.png}
  - from: more.jsonl
  - from: rows.csv
  - from: list.yaml
output: "{id}-{index}.png"
"""
TABLES = ("jobs", "drafts")


@pytest.fixture
def kites(tmp_path, monkeypatch, facts, new_executor):
    """A rendered folder of a manifest that reads ten other files."""
    monkeypatch.chdir(tmp_path)
    Path("kites.yaml").write_text(MANIFEST)
    Path("lines.txt").write_text("a blue kite\n")
    Path("more.jsonl").write_text('{"id": "more", "prompt": "a kite"}\n')
    Path("wildcards").mkdir()
    Path("wildcards/shape.txt").write_text("heart\nkite\n")
    Path("wildcards/far.txt").write_text("far away\n")
    Path("rows.csv").write_text("id,prompt\nrow,a kite\n")
    Path("list.yaml").write_text("- from: inner.json\n")
    Path("inner.json").write_text('[{"id": "inner", "prompt": "a kite"}]')
    Path("concepts").mkdir()
    Path("concepts/learned_embeds.bin").write_bytes(b"vectors")
    picture("start.png", 1)
    picture("mask.png", 2)
    folder = opened(read_manifest("kites.yaml"), facts)
    assert folder.render(executor=new_executor()).summary.done
    return folder


def opened(manifest, facts):
    return OutputFolder(manifest, "out/kites", models=Models({}, {"demo": facts}), draw=lambda: 7)


def picture(path, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def rows(plan):
    return [plan.table.answers(f"SELECT * FROM {table} ORDER BY 1") for table in TABLES]


def is_kept(facts):
    """Whether the plan that the ledger keeps stands, as the command line asks."""
    manifest = kept_manifest(Path("kites.yaml"), None)
    table = beside(Path("out/kites/.latentpress/ledger.sqlite"))
    return manifest is not None and kept_plan(manifest, {"demo": facts}, table, "../../kites.yaml") is not None


def test_a_kept_plan_equals_a_new_one(kites, facts, monkeypatch):
    new = kites.plan()
    manifest = kept_manifest(Path("kites.yaml"), None)
    assert manifest is not None
    monkeypatch.setattr(late, "read_manifest", lambda path: pytest.fail("the manifest was read"))
    folder = opened(manifest, facts)
    plan = folder.plan()
    assert rows(plan) == rows(new)
    assert list(plan.jobs) == list(new.jobs)
    for name in ("name", "plan_hash", "draws", "undrawn", "warnings", "sheets", "quality", "chunks", "began"):
        assert getattr(plan, name) == getattr(new, name), name
    assert folder.status().counts == kites.status().counts


def test_a_kept_plan_is_rendered_and_stays(kites, facts, new_executor):
    before = sorted(Path("out/kites").glob("*.png"))
    gone = next(path for path in before if path.name.startswith("told"))  # the only one of its prompt
    content = gone.read_bytes()
    gone.unlink()
    for done in (1, 0):
        folder = opened(kept_manifest(Path("kites.yaml"), None), facts)
        assert folder.render(executor=new_executor()).summary.done == done
        assert is_kept(facts)
    assert gone.read_bytes() == content
    assert sorted(Path("out/kites").glob("*.png")) == before


def edit(path, old, new):
    """Another content of the same length, at the same time."""
    state = path.stat()
    content = path.read_text().replace(old, new)
    assert content != path.read_text()
    path.write_text(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


CHANGES = {
    "an edited line": lambda: edit(Path("kites.yaml"), "strength: 0.5", "strength: 0.6"),
    "a file of lines": lambda: edit(Path("lines.txt"), "blue", "pink"),
    "an included file": lambda: edit(Path("more.jsonl"), "a kite", "a bird"),
    "a row": lambda: edit(Path("rows.csv"), "a kite", "a bird"),
    "a list": lambda: Path("list.yaml").write_text("- {prompt: a kite}\n"),
    "a list's list": lambda: edit(Path("inner.json"), "a kite", "a bird"),
    "a concept": lambda: Path("concepts/learned_embeds.bin").write_bytes(b"VECTORS"),
    "another file for a concept": lambda: Path("concepts/learned_embeds.safetensors").write_bytes(b"vectors"),
    "a mask": lambda: picture("mask.png", 3),
    "a wildcard": lambda: edit(Path("wildcards/shape.txt"), "heart", "house"),
    "another wildcard": lambda: Path("wildcards/form.txt").write_text("round\n"),  # which __f*__ asks for
    "no wildcards": lambda: shutil.rmtree("wildcards"),
    "a picture": lambda: picture("start.png", 2),
    "a lost picture": lambda: Path("start.png").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_makes_a_new_plan(kites, facts, change):
    assert is_kept(facts)
    CHANGES[change]()
    assert not is_kept(facts)


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_of_another_time_is_read(kites, facts, new_executor, monkeypatch, change):
    monkeypatch.setattr(inputs, "_SETTLED", 0)  # as if all had lain there for long
    kites_again = opened(read_manifest("kites.yaml"), facts)
    assert kites_again.render(executor=new_executor()).summary.done == 0
    with monkeypatch.context() as patch:
        patch.setattr(inputs, "_sha256", lambda path: pytest.fail(f"{path} was read"))
        assert is_kept(facts)
    os.utime("lines.txt")
    assert is_kept(facts)
    CHANGES[change]()
    assert not is_kept(facts)


def test_every_file_that_is_opened_is_among_the_inputs(kites, facts, new_executor, tmp_path):
    """What the process itself opens while it reads the manifest, by the interpreter's own hook."""
    opened_files = set()
    watching = [True]

    def watch(event, values):
        if event == "open" and watching and not isinstance(values[0], int):
            opened_files.add(os.fspath(values[0]))

    sys.addaudithook(watch)
    for remembered in (inputs_given._look, text_file._read):
        remembered.cache_clear()
    manifest = read_manifest("kites.yaml")
    watching.clear()
    below = {str(Path(name).absolute()) for name in opened_files if Path(name).absolute().is_relative_to(tmp_path)}
    assert len(below) == 11
    assert below == {str(Path(name).absolute()) for name in manifest.inputs.files}


def test_what_does_not_decide_a_plan_leaves_it(kites, facts):
    Path("wildcards/unasked.txt").write_text("round\n")
    Path("concepts/notes.txt").write_text("of somebody\n")
    Path("out/kites/of-mine.txt").write_text("mine\n")
    assert is_kept(facts)


def test_the_folder_that_has_everything_is_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("all.yaml").write_text("version: 1\nmodel: demo\nwildcards: .\ndefaults: {prompt: a __shape__}\n")
    Path("shape.txt").write_text("heart\n")
    Path("large.bin").touch()
    Path("out").mkdir()
    monkeypatch.setattr(inputs.Path, "rglob", lambda *_: pytest.fail("a folder was gone through"))
    assert sorted(read_manifest("all.yaml").inputs.read().files) == ["all.yaml", "shape.txt"]


def test_another_working_folder_makes_a_new_plan(kites, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "wildcards")
    assert kept_manifest(Path("../kites.yaml"), Path("../out/kites")) is None


def test_equal_jobs_whose_names_are_numbered_are_kept(tmp_path, monkeypatch, facts, new_executor):
    monkeypatch.chdir(tmp_path)
    Path("kites.yaml").write_text("version: 1\nmodel: demo\ndefaults: {prompt: a, seed: 1}\njobs: [{id: a}, {id: b}]\n")
    assert opened(read_manifest("kites.yaml"), facts).render(executor=new_executor()).summary.done == 2
    assert is_kept(facts)
    assert len(list(Path("out/kites").glob("*-2.png"))) == 1


def test_a_manifest_that_changes_before_its_jobs_are_read_is_refused(kites, facts):
    manifest = kept_manifest(Path("kites.yaml"), None)
    edit(Path("lines.txt"), "blue", "pink")
    with pytest.raises(ManifestError, match=r"kites.yaml:1:1: the file has changed since it was read first"):
        opened(manifest, replace(facts, hash="a" * 64)).plan()


@pytest.mark.parametrize("changed", [{"hash": "a" * 64}, {"content": "b" * 64}, {"concepts": {}}, {"ordinary": ("a",)}])
def test_another_bundle_makes_a_new_plan(kites, facts, changed):
    assert is_kept(facts)
    assert not is_kept(replace(facts, **changed))


def test_a_changed_rule_or_program_makes_a_new_plan(kites, facts, monkeypatch):
    changes = [
        (rules, "RULES", (replace(rules.RULES[0], number=3), *rules.RULES[1:])),
        (decisive, "__version__", "9.9.9"),
        (decisive, "VERSION", 99),
        (decisive, "_code", lambda: "other"),
        (decisive, "_libraries", lambda: ("Pillow 99",)),
    ]
    for module, name, value in changes:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            assert not is_kept(facts), name
    assert is_kept(facts)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE seeds SET seed=seed+1",
        "UPDATE jobs SET job_hash='f' WHERE job=1",
        "UPDATE jobs SET output='x.png' WHERE job=1",
        "UPDATE prompts SET prompt='another' WHERE draft=1",
        "DELETE FROM jobs WHERE job=2",
        "UPDATE facts SET value='other' WHERE fact='name'",
        "UPDATE kept SET plan='{}'",
        "UPDATE kept SET plan='no JSON'",
        "DELETE FROM kept",
    ],
)
def test_a_ledger_that_says_otherwise_makes_a_new_plan(kites, facts, damage):
    with sqlite3.connect("out/kites/.latentpress/ledger.sqlite") as ledger:
        ledger.execute(damage)
    assert not is_kept(facts)


def test_a_damaged_plan_is_made_anew(kites, facts, new_executor):
    """Each page of the plan's tables in turn, filled with the same byte: no picture is rendered again, and none is lost."""
    path = Path("out/kites/.latentpress/ledger.sqlite")
    content, pictures = path.read_bytes(), sorted(Path("out/kites").glob("*.png"))
    with sqlite3.connect(path) as ledger:
        (size,) = ledger.execute("PRAGMA page_size").fetchone()
        tables = "name IN ('jobs', 'shapes', 'prompts', 'facts', 'kept')"
        roots = [root for (root,) in ledger.execute(f"SELECT rootpage FROM sqlite_master WHERE {tables}")]
    assert len(roots) == 5
    for root in roots:
        for filled in (b"\0", b"\xff"):
            begin = (root - 1) * size
            path.write_bytes(content[:begin] + filled * size + content[begin + size :])
            assert not is_kept(facts)
            state = opened(kept_manifest(Path("kites.yaml"), None) or read_manifest("kites.yaml"), facts).status()
            assert state.counts["done"] == len(pictures) == state.total
    path.write_bytes(content)
    assert is_kept(facts)


def test_another_manifest_in_the_folder_is_told_apart(kites, facts, new_executor):
    shutil.copy("kites.yaml", "same.yaml")
    assert kept_manifest(Path("same.yaml"), Path("out/kites")) is None
    opened(read_manifest("same.yaml"), facts).render(executor=new_executor(), only=())
    assert not is_kept(facts)


def test_a_manifest_made_of_another_is_not_kept_under_its_name(kites, facts, new_executor):
    manifest = replace(read_manifest("kites.yaml"), output="{index}.png")
    opened(manifest, facts).render(executor=new_executor(), only=())
    assert not is_kept(facts)


def test_an_edit_while_it_is_rendered_is_noticed(kites, facts, new_executor):
    manifest = read_manifest("kites.yaml")
    edit(Path("lines.txt"), "blue", "pink")
    opened(manifest, facts).render(executor=new_executor(), only=())
    assert not is_kept(facts)


def test_the_hour_of_a_policy_is_read_anew(kites, facts, new_executor):
    Path("kites.yaml").write_text(Path("kites.yaml").read_text() + "policy: {stop_at: '06:30'}\n")
    opened(read_manifest("kites.yaml"), facts).render(executor=new_executor(), only=())
    assert kept_manifest(Path("kites.yaml"), None) is None
