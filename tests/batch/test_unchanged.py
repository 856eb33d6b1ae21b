"""Which pictures of a folder are as they were written is found block by block, and is what each file by itself says."""

import os
import sqlite3
from pathlib import Path

import pytest

from latentpress.batch.folder import OutputFolder
from latentpress.batch.state import unchanged
from latentpress.manifest.manifest import read_manifest
from latentpress.models import Models

MANIFEST = "version: 1\nmodel: demo\ndefaults: {prompt: a kite}\nmatrix: {seed: 1..10}\noutput: '{seed}.png'\n"


@pytest.fixture
def ten(tmp_path, monkeypatch, facts, new_executor):
    """A rendered folder of ten pictures, of which three make a block."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(unchanged, "_ROWS", 3)
    Path("ten.yaml").write_text(MANIFEST)
    folder = OutputFolder(read_manifest("ten.yaml"), "out", models=Models({}, {"demo": facts}))
    assert folder.render(executor=new_executor()).summary.done == 10
    return folder


def recorded(statement):
    with sqlite3.connect("out/.latentpress/ledger.sqlite") as ledger:
        ledger.execute(statement)


def replace_by_copy(path):
    Path("copy").write_bytes(path.read_bytes())
    Path("copy").replace(path)


def link(path):
    path.rename("elsewhere")
    path.symlink_to(Path("elsewhere").absolute())


CHANGES = {
    "touched": lambda path: path.touch(),
    "written again": lambda path: path.write_bytes(path.read_bytes()),
    "cut short": lambda path: os.truncate(path, path.stat().st_size - 1),
    "replaced by a copy": replace_by_copy,
    "removed": lambda path: path.unlink(),
    "a link": link,
    "another mode": lambda path: path.chmod(0o600),
    "no row": lambda path: recorded(f"DELETE FROM images WHERE output='{path.name}'"),
    "failed": lambda path: recorded(f"UPDATE images SET status='failed' WHERE output='{path.name}'"),
    "another job's": lambda path: recorded(f"UPDATE images SET job_hash='x' WHERE output='{path.name}'"),
    "no stamp": lambda path: recorded(f"UPDATE images SET stamp=NULL WHERE output='{path.name}'"),
    "an empty stamp": lambda path: recorded(f"UPDATE images SET stamp='' WHERE output='{path.name}'"),
    "an earlier ledger's": lambda path: recorded(f"UPDATE images SET identity=1 WHERE output='{path.name}'"),
}


@pytest.mark.parametrize(("change", "number"), [*((change, 5) for change in CHANGES), ("removed", 1), ("removed", 10)])
def test_what_is_not_as_it_was_is_looked_at(ten, change, number):
    before = list(unchanged.blocks(ten.plan(), Path("out")))
    assert [(one.jobs, list(one.others)) for one in before] == [(3, []), (3, []), (3, []), (1, [])]
    CHANGES[change](Path(f"out/{number}.png"))
    after = list(unchanged.blocks(ten.plan(), Path("out")))
    assert [job for one in after for job in one.others] == [number]
    assert not any(one.absent for one in after), "a row or a file tells of it"
    assert sum(one.made.total() for one in after) == 9


@pytest.mark.parametrize("number", [1, 5, 10])
def test_what_has_neither_a_row_nor_a_file_is_missing_or_taken_from_another_name(number, ten):
    recorded(f"DELETE FROM images WHERE output='{number}.png'")
    Path(f"out/{number}.png").unlink()
    found = list(unchanged.blocks(ten.plan(), Path("out")))
    assert [job for one in found for job in one.absent] == [number]
    assert not any(one.others for one in found)
    assert ten.status().state(number) == "missing"
    another = 2 if number == 1 else 1
    recorded(f"UPDATE images SET job_hash=(SELECT job_hash FROM jobs WHERE job={number}) WHERE output='{another}.png'")
    state = ten.status()
    assert (state.state(number), state.sources) == ("found", {number: f"{another}.png"})


def test_pictures_made_otherwise_are_counted_apart(ten):
    recorded("UPDATE images SET provider='other' WHERE output='4.png'")
    recorded("UPDATE images SET row_rule='8' WHERE output IN ('7.png', '8.png', '9.png')")
    found = list(unchanged.blocks(ten.plan(), Path("out")))
    assert not any(one.others for one in found)
    made = [{(provider, rule): count for (_, provider, rule), count in one.made.items()} for one in found]
    (usual,) = made[0]
    assert made == [{usual: 3}, {("other", usual[1]): 1, usual: 2}, {(usual[0], "8"): 3}, {usual: 1}]


def test_a_name_with_the_separator_in_it_is_found_too(ten):
    Path("out/2.png").rename("out/2\x1e.png")
    for table in ("jobs", "images"):
        recorded(f"UPDATE {table} SET output='2\x1e.png' WHERE output='2.png'")
    plan = ten.plan()
    plan.table.run("UPDATE jobs SET output='2\x1e.png' WHERE job=2")
    stamp = unchanged.stamp_of(Path("out/2\x1e.png").lstat())
    recorded(f"UPDATE images SET stamp='{stamp}' WHERE output='2\x1e.png'")
    assert not any(one.others for one in unchanged.blocks(plan, Path("out")))


def test_a_folder_that_is_gone_has_nothing(ten):
    plan = ten.plan()
    Path("out").rename("moved")
    assert [job for one in unchanged.blocks(plan, Path("out")) for job in one.others] == list(range(1, 11))
