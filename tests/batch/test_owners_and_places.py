"""Two renders at once, dead owners, odd lock files, network drives, read-only and moved folders, and wrong clocks."""

import os
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from errno import EINVAL, ENOLCK

import pytest

from eight import PICTURES, leftovers, tree
from faulted import Fault

# A call in the middle, where some pictures are done and some are not.
HALFWAY = 150
# Seconds that a second render waits for a ledger where the first was stopped while it wrote it; by default 30.
PATIENCE = 1
NOBODY = 65534


def errors(run):
    """The lines of a run's stderr that are no progress."""
    return [line for line in run.err.splitlines() if line.startswith("error:") or "Traceback" in line]


def stopped(eight, folder):
    """The id of a process that renders into `folder` and was stopped halfway."""
    arguments = ("render", eight.manifest, "-o", folder)
    pid = eight.runner.start(folder, *arguments, fault=Fault(HALFWAY, "stop"))
    eight.runner.wait_for_stop(pid)
    return pid


def test_a_second_render_is_refused_until_the_first_is_dead(eight):
    folder = eight.folder()
    pid = stopped(eight, folder)
    second = eight.render(folder, patience=PATIENCE)
    assert (second.code, second.rendered) == (75, [])
    assert errors(second) == [
        f"error: {folder}: process {pid} renders into this folder; wait for it to end, or choose another with -o"
    ]
    os.kill(pid, signal.SIGKILL)
    assert eight.runner.wait(pid).code == -signal.SIGKILL
    assert (folder / ".latentpress/lock").read_text() == f"{pid}\n", "the dead owner's note is still there"
    eight.check_resume(folder, eight.check_nothing_is_torn(folder, "dead"), "after the owner's death")


def test_a_stopped_render_goes_on_as_if_nothing_had_been(eight):
    folder = eight.folder()
    pid = stopped(eight, folder)
    assert eight.render(folder, patience=PATIENCE).code == 75
    os.kill(pid, signal.SIGCONT)
    assert eight.runner.wait(pid).code == 0
    eight.check_whole(folder, "went on")


@pytest.mark.parametrize("content", [b"", b"\xff\x00\n\x1b[31m", b"99999999\n", b"1" * 100_000], ids=range(4))
def test_what_stands_in_the_lock_file_locks_nothing(content, eight):
    folder = eight.folder()
    (folder / ".latentpress").mkdir(parents=True)
    (folder / ".latentpress/lock").write_bytes(content)
    eight.check_resume(folder, set(), content[:9])
    assert (folder / ".latentpress/lock").read_bytes() == b""


def test_nothing_is_emptied_or_waited_for_in_the_place_of_the_lock(eight, tmp_path):
    thesis = tmp_path / "thesis.tex"
    thesis.write_text("three years of work")
    makers = {
        "Too many levels of symbolic links": lambda path: path.symlink_to(thesis),
        "it is a named pipe, not a regular file": os.mkfifo,
        "it is a folder, not a regular file": lambda path: path.mkdir(),
    }
    for words, make in makers.items():
        folder = eight.folder()
        (folder / ".latentpress").mkdir(parents=True)
        make(folder / ".latentpress/lock")
        run = eight.render(folder)
        assert run.code == 3
        (line,) = errors(run)
        assert line.startswith(f"error: {folder}/.latentpress/lock: {words}; ")
    assert thesis.read_text() == "three years of work"


def test_a_drive_without_locks_is_refused_with_its_path(eight):
    folder = eight.folder()
    run = eight.render(folder, fault=Fault(1, "fail", ENOLCK, True, ("lock",)))
    assert run.code == 3
    (line,) = errors(run)
    assert line.startswith(f"error: {folder}/.latentpress/lock: cannot be locked (No locks available), and ")
    assert line.endswith("; keep lock and ledger on a local disk with --ledger DIR, or choose a folder there with -o")
    assert not folder.exists()


def test_a_drive_that_cannot_sync_folders_is_rendered_into(eight):
    folder = eight.folder()
    run = eight.render(folder, fault=Fault(1, "fail", EINVAL, True, ("syncdir",)))
    assert run.code == 0, run.err
    eight.check_whole(folder, "no folder can be synced")


def test_a_ledger_that_another_program_holds_is_told_as_that(eight):
    folder = eight.folder()
    eight.check_resume(folder, set(), "first")
    with closing(sqlite3.connect(folder / ".latentpress/ledger.sqlite")) as other:
        other.execute("BEGIN EXCLUSIVE")
        for command in ("status", "render"):
            run = eight.runner.run(folder, command, eight.manifest, "-o", folder, patience=0.1)
            assert run.code == 3
            (line,) = errors(run)
            assert "ledger.sqlite: the ledger cannot be used (database is locked); close the other program" in line
    eight.check_whole(folder, "held")


def test_a_ledger_that_is_held_for_a_while_does_not_end_a_render(eight):
    """A backup holds it while pictures are made, for longer than SQLite waits."""
    folder = eight.folder()
    arguments = ("render", eight.manifest, "-o", folder)
    pid = eight.runner.start(folder, *arguments, fault=Fault(1, "stop", kinds=("link",)), patience=0.2)
    eight.runner.wait_for_stop(pid)
    with closing(sqlite3.connect(folder / ".latentpress/ledger.sqlite", isolation_level=None)) as backup:
        backup.execute("BEGIN")
        backup.execute("SELECT count(*) FROM images").fetchall()
        os.kill(pid, signal.SIGCONT)
        time.sleep(1)
        backup.execute("COMMIT")
    run = eight.runner.wait(pid)
    assert run.code == 0, run.err
    waits = f"warning: {folder}/.latentpress/ledger.sqlite: another program holds the ledger; waiting for it"
    assert waits in run.err.splitlines()
    eight.check_whole(folder, "held for a while")


def lock_up(folder, mode):
    """Set the permissions of `folder` and all that is in it: `mode`, and for folders the right to enter."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(mode | 0o111 if path.is_dir() else mode)


def test_a_finished_folder_may_be_read_only_and_another_is_refused(eight):
    # root may write anywhere, so the run gets another user's rights.
    user = NOBODY if os.geteuid() == 0 else None
    eight.scratch.chmod(0o755)
    finished, half = eight.folder(), eight.scratch / "half"
    eight.check_resume(finished, set(), "finished")
    eight.render(half, fault=Fault(HALFWAY, "kill before"))
    shutil.rmtree(half / ".latentpress")  # its journal: nobody can read the ledger before someone rolls it back
    (half / ".latentpress").mkdir()
    before = tree(half)
    for folder in (finished, half):
        lock_up(folder, 0o444)
    try:
        run = eight.render(finished, user=user)
        assert (run.code, run.rendered, errors(run)) == (0, [], [])
        assert f"0 rendered, {PICTURES} already done, 0 failed\nsheet: {finished}/sheet.png" in run.out
        run = eight.render(half, user=user)
        assert (run.code, run.rendered) == (3, [])
        (line,) = errors(run)
        assert line.startswith(f"error: {half}: cannot be written to, and ")
        assert " of 8 images must be; make it writable, or choose another with -o" in line
        assert tree(half) == before
    finally:
        for folder in (finished, half):
            lock_up(folder, 0o644)
    eight.check_whole(finished, "read-only")
    shutil.rmtree(half)


def test_a_folder_moved_between_runs_goes_on_where_it_was(eight):
    folder, moved = eight.folder(), eight.scratch / "moved here/and there"
    eight.render(folder, fault=Fault(HALFWAY, "kill after"))
    done = eight.check_nothing_is_torn(folder, "before the move")
    assert done
    moved.parent.mkdir()
    folder.rename(moved)
    eight.check_resume(moved, done, "moved")
    moved.rename(folder)
    assert eight.render(folder).rendered == []
    shutil.rmtree(moved.parent)


def test_a_folder_removed_while_it_is_rendered_into_stays_removed(eight):
    folder = eight.folder()
    pid = stopped(eight, folder)
    shutil.rmtree(folder)
    os.kill(pid, signal.SIGCONT)
    run = eight.runner.wait(pid)
    assert run.code == 3, run.err
    (line,) = errors(run)
    assert str(folder) in line
    assert not folder.exists()


CLOCKS = ([0.0], [2.0**40], [1.8e9, 1.0, 2.0**33, 0.0, 1.7e9])


def test_the_clock_decides_nothing(eight):
    """It stands at 1970, in the year 36812, or jumps at every look; between runs it goes back and forth."""
    for clock in CLOCKS:
        folder = eight.folder()
        run = eight.render(folder, clock=clock, fault=Fault(HALFWAY, "kill after"))
        assert run.code == -signal.SIGKILL
        done = eight.check_nothing_is_torn(folder, clock)
        again = eight.render(folder, clock=clock[::-1])
        assert again.code == 0, again.err
        eight.check_whole(folder, clock)
        assert not done & set(again.rendered)
        for other in CLOCKS:
            assert eight.render(folder, clock=other).rendered == []
        assert not leftovers(folder)
