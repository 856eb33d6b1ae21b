"""A sealed ledger is not looked through again until its file is another than when it was closed, in content or in time."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from latentpress.batch import kept
from latentpress.batch.folder import OutputFolder
from latentpress.batch.kept import kept_manifest
from latentpress.batch.ledger import seal
from latentpress.batch.ledger.ledger import Ledger
from latentpress.batch.plan.database import Database
from latentpress.errors import LedgerDamaged
from latentpress.manifest.manifest import read_manifest
from latentpress.models import Models

LEDGER, SEAL = Path("out/.latentpress/ledger.sqlite"), Path("out/.latentpress/ledger.sqlite.seal")


@pytest.fixture
def folder(tmp_path, monkeypatch, facts, new_executor):
    """Gives the output folder of a manifest, which is rendered once, each time as a command would open it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(seal, "LARGE", 0)
    Path("out.yaml").write_text("version: 1\nmodel: demo\ndefaults: {prompt: a kite}\nmatrix: {seed: 1..3}\n")

    def opened():
        manifest = kept_manifest(Path("out.yaml"), Path("out")) or read_manifest("out.yaml")
        return OutputFolder(manifest, "out", models=Models({}, {"demo": facts}))

    assert opened().render(executor=new_executor()).summary.done == 3
    return opened


@pytest.fixture
def looked(monkeypatch):
    """What was looked through, in order."""
    done = []
    check, digest = Database.check_tables, kept.plan_digest
    monkeypatch.setattr(Database, "check_tables", lambda *of, **how: (done.append("tables"), check(*of, **how)))
    monkeypatch.setattr(kept, "plan_digest", lambda table: (done.append("plan"), digest(table))[1])
    return done


def test_a_sealed_ledger_is_not_looked_through(folder, looked, new_executor):
    assert folder().status().counts["done"] == 3
    assert folder().render(executor=new_executor()).summary.skipped == 3
    assert folder().status().counts["done"] == 3
    assert looked == []
    assert SEAL.lstat().st_mtime_ns > LEDGER.lstat().st_mtime_ns


def with_sqlite():
    with sqlite3.connect(LEDGER) as ledger:
        ledger.execute("UPDATE images SET seconds=seconds + 1")


def with_sqlite_and_its_time_set_back():
    before = LEDGER.stat()
    with_sqlite()
    os.utime(LEDGER, ns=(before.st_atime_ns, before.st_mtime_ns))


def a_byte():
    with LEDGER.open("r+b") as stream:
        first = stream.read(1)
        stream.seek(0)
        stream.write(first)


def replaced_by_a_copy():
    shutil.copy2(LEDGER, "copy")
    Path("copy").replace(LEDGER)


def a_journal():
    LEDGER.with_name("ledger.sqlite-journal").write_bytes(b"")


def a_pipe():
    SEAL.unlink()
    os.mkfifo(SEAL)


def a_folder():
    SEAL.unlink()
    SEAL.mkdir()


CHANGES = {
    "a byte is written as it was": a_byte,
    "another program": with_sqlite,
    "its time set back": with_sqlite_and_its_time_set_back,
    "touched": lambda: LEDGER.touch(),
    "a copy": replaced_by_a_copy,
    "a journal": a_journal,
    "no seal": lambda: SEAL.unlink(),
    "an empty seal": lambda: SEAL.write_bytes(b""),
    "a seal of bytes": lambda: SEAL.write_bytes(b"\xff\0"),
    "a pipe": a_pipe,
    "a folder": a_folder,
}


@pytest.mark.parametrize("change", CHANGES)
def test_anything_else_has_it_looked_through(folder, looked, new_executor, change):
    CHANGES[change]()
    assert folder().status().counts["done"] == 3
    assert looked == ["tables", "plan"]
    assert folder().render(executor=new_executor()).summary.skipped == 3
    assert looked == ["tables", "plan"] * 2


def test_a_damaged_ledger_is_found_though_it_was_sealed(folder, new_executor):
    content = LEDGER.read_bytes()
    LEDGER.write_bytes(content[: len(content) // 2])
    for act in (lambda: folder().status(), lambda: folder().render(executor=new_executor())):
        with pytest.raises(LedgerDamaged):
            act()


def test_who_writes_breaks_the_seal_first(folder, looked):
    """As a killed render leaves it, and one that ended by an error."""
    killed = Ledger(LEDGER)
    assert not SEAL.exists()
    killed.close()
    with pytest.raises(ZeroDivisionError), Ledger(LEDGER):
        _ = 1 / 0
    assert not SEAL.exists()
    looked.clear()
    assert folder().status().counts["done"] == 3
    assert looked == ["tables", "plan"]
    with pytest.raises(KeyboardInterrupt), Ledger(LEDGER):
        raise KeyboardInterrupt
    assert SEAL.exists()


def test_a_clock_that_is_too_coarse_gives_no_seal(folder, monkeypatch):
    monkeypatch.setattr(seal, "_WAIT", 0)
    ahead = LEDGER.stat().st_mtime_ns + 10**12
    with Ledger(LEDGER):
        os.utime(LEDGER, ns=(ahead, ahead))
    assert not SEAL.exists()


def test_a_small_ledger_needs_none(folder, monkeypatch, new_executor):
    monkeypatch.setattr(seal, "LARGE", LEDGER.stat().st_size + 1)
    folder().render(executor=new_executor())
    assert not SEAL.exists()
